"""Sequences of different lengths: time beside the share of the steps that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.bench.contestants import LIBRARIES
from unrolled.bench.problem import Problem, Shape
from unrolled.bench.recurrent import OURS, PHASES, REFERENCE, TORCH, check, runs_of
from unrolled.bench.timing import Pace, Times, interleave
from unrolled.cell import Cell

SHAPES = (Shape(100, 32, 64, 128), Shape(100, 128, 64, 128))


@dataclass(frozen=True)
class Ragged:
    """One shape with lengths uniform in 1..T: `steps` is sum(lengths) / (T B), `full` and `ragged` times by library."""

    cell: str
    shape: Shape
    phase: str
    difference: float
    steps: float
    full: dict[str, Times]
    ragged: dict[str, Times]

    def share(self, library: str) -> float:
        """Time in that of the full batch."""
        return self.ragged[library].least / self.full[library].least


def ragged(
    name: str, cell: Cell, pace: Pace, shapes: Sequence[Shape] = SHAPES, phases: Sequence[str] = PHASES
) -> Iterator[Ragged]:
    """A row for each shape and phase; EngineError where outputs or gradients differ."""
    for shape in shapes:
        whole = Problem.random(name, cell, shape)
        lengths = np.random.default_rng(1).integers(1, shape.steps, shape.batch, endpoint=True)
        cut = whole.shortened(lengths)
        names = [library for library in (OURS, TORCH) if LIBRARIES[library].refuse(cut) is None]
        built = {library: LIBRARIES[library].build(cut) for library in (*names, REFERENCE)}
        full = {library: LIBRARIES[library].build(whole) for library in names}
        for phase in phases:
            runs = runs_of(built, phase)
            answers = {library: built[library].read(run()) for library, run in runs.items()}
            difference = check(f"{name} at {shape} with lengths, {phase}", answers)
            pairs: dict[str, Callable[[], Any]] = {f"full {k}": run for k, run in runs_of(full, phase).items()}
            pairs |= {f"ragged {library}": runs[library] for library in names}
            times = interleave(pairs, pace)
            steps = float(lengths.sum()) / (shape.steps * shape.batch)
            found = [{library: times[f"{kind} {library}"] for library in names} for kind in ("full", "ragged")]
            yield Ragged(name, shape, phase, difference, steps, *found)
