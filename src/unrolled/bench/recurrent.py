"""One layer forward and in training by every library that can: found equal first, then timed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrolled.bench.contestants import LIBRARIES, Answer, Contestant
from unrolled.bench.problem import PASSES, Problem, Shape
from unrolled.bench.timing import Pace, Times, interleave
from unrolled.cell import Cell
from unrolled.cells import by_name
from unrolled.errors import EngineError

OURS, TORCH, REFERENCE = "compiled", "torch.nn", "reference"
NEEDED = (OURS, REFERENCE)
ENGINES = (TORCH, OURS, "native", REFERENCE)
EVERYBODY = (OURS, TORCH, REFERENCE, "torch.compile", "jax", "onnxruntime")
CELLS = {name: by_name(name) for name in ("lstm", "gru", "rnn")}
SHAPES = (Shape(100, 1, 64, 64), Shape(100, 64, 128, 256))
FULL = (
    Shape(100, 1, 64, 64),
    Shape(1000, 1, 128, 256),
    Shape(100, 32, 64, 128),
    Shape(100, 64, 128, 256),
    Shape(100, 32, 512, 512),
    Shape(50, 128, 256, 512),
    Shape(200, 16, 1024, 1024),
)
PHASES = tuple(PASSES)
PACE = Pace()
TOLERANCE = 1e-4
"""Largest difference allowed in float32, relative to the largest number of what is compared."""


@dataclass(frozen=True)
class Row:
    """What one cell took at one shape; `difference` is the largest seen between the contestants before timing.

    `absent` says why a library has no time. `flops`: multiplications and additions in the products of one run.
    """

    cell: str
    shape: Shape
    phase: str
    difference: float
    times: dict[str, Times]
    flops: int
    absent: dict[str, str] = field(default_factory=dict)

    def ratio(self, name: str) -> float:
        """How many times as long as ours a contestant takes, by their least times."""
        return self.times[name].least / self.times[OURS].least

    def speed(self, name: str) -> float:
        """FLOP/s of a contestant's best run."""
        return self.flops / self.times[name].least


def compare(
    shapes: Sequence[Shape] = SHAPES,
    cells: Mapping[str, Cell] = CELLS,
    *,
    libraries: Sequence[str] = ENGINES,
    phases: Sequence[str] = PHASES,
    pace: Pace = PACE,
) -> Iterator[Row]:
    """A row for each cell, shape and phase; EngineError where the contestants do not agree, and nothing is timed."""
    waited = dict.fromkeys(libraries, 0.0)
    for name, cell in cells.items():
        for shape in shapes:
            yield from _rows(Problem.random(name, cell, shape), libraries, phases, pace, waited)


def _rows(
    problem: Problem, libraries: Sequence[str], phases: Sequence[str], pace: Pace, waited: dict[str, float]
) -> Iterator[Row]:
    ready: dict[str, Contestant] = {}
    absent: dict[str, str] = {}
    for library in libraries:
        reason = LIBRARIES[library].refuse(problem)
        if reason is None and LIBRARIES[library].compiles and waited[library] > pace.patience:
            reason = f"it has compiled for {waited[library]:.0f} s already; --full waits for it"
        if reason is None:
            ready[library] = LIBRARIES[library].build(problem)
        else:
            absent[library] = reason
    for phase in phases:
        runs = runs_of(ready, phase)
        missing = absent | {name: "it does not train" for name in ready if name not in runs}
        answers, failed = _answers(ready, runs, waited)
        difference = check(f"{problem.name} at {problem.shape}, {phase}", answers)
        del answers
        times = interleave({name: run for name, run in runs.items() if name not in failed}, pace)
        yield Row(problem.name, problem.shape, phase, difference, times, problem.flops(phase), missing | failed)


def _answers(
    ready: Mapping[str, Contestant], runs: Mapping[str, Callable[[], Any]], waited: dict[str, float]
) -> tuple[dict[str, Answer], dict[str, str]]:
    """What the first runs answer, and why those have none that failed; ours and the reference may not fail."""
    answers, failed = {}, {}
    for name, run in runs.items():
        begin = time.perf_counter()
        try:
            answers[name] = ready[name].read(run())
        except EngineError as error:
            if name in NEEDED:
                raise
            failed[name] = str(error)
        waited[name] += time.perf_counter() - begin
    return answers, failed


def runs_of(ready: Mapping[str, Contestant], phase: str) -> dict[str, Callable[[], Any]]:
    """The call of each contestant that has this phase."""
    calls = {name: found.forward if phase == "forward" else found.training for name, found in ready.items()}
    return {name: call for name, call in calls.items() if call is not None}


def check(what: str, answers: Mapping[str, Answer]) -> float:
    """The largest difference from the reference; EngineError where it is too large."""
    expected, worst = answers[REFERENCE], 0.0
    for name, answer in answers.items():
        found = max(distance(a, b) for a, b in zip(answer, expected, strict=True))
        if not found <= TOLERANCE:
            raise EngineError(
                f"{what}: {name} and the reference differ by {found:.1e}, more than {TOLERANCE:.0e}, so nothing is "
                "timed; please report it."
            )
        worst = max(worst, found)
    return worst


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest number."""
    return float(np.abs(a - b).max() / np.abs(b).max())
