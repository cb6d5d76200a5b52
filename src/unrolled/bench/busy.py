"""Beside another process that keeps one core busy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from unrolled.bench.contestants import LIBRARIES
from unrolled.bench.problem import Problem, Shape
from unrolled.bench.recurrent import OURS, PHASES, REFERENCE, TORCH, check, runs_of
from unrolled.bench.timing import Pace, Times, interleave
from unrolled.cell import Cell

SHAPE = Shape(100, 32, 64, 128)
LIBRARIES_BESIDE = (OURS, TORCH)
TURNS = 2
NEIGHBOUR = "print('ready', flush=True)\nwhile True: pass"


@dataclass(frozen=True)
class Busy:
    """Times by library, with the machine to themselves and beside the neighbour."""

    cell: str
    shape: Shape
    phase: str
    difference: float
    alone: dict[str, Times]
    beside: dict[str, Times]

    def slower(self, library: str) -> float:
        """By which factor, by the medians: the least of many would find the moments when the neighbour rests."""
        return self.beside[library].median / self.alone[library].median


def busy(name: str, cell: Cell, pace: Pace, shape: Shape = SHAPE, phases: Sequence[str] = PHASES) -> Iterator[Busy]:
    """A row for each phase; EngineError where the libraries do not agree."""
    problem = Problem.random(name, cell, shape)
    names = [library for library in LIBRARIES_BESIDE if LIBRARIES[library].refuse(problem) is None]
    built = {library: LIBRARIES[library].build(problem) for library in (*names, REFERENCE)}
    for phase in phases:
        runs = runs_of(built, phase)
        difference = check(f"{name} at {shape}, {phase}", {k: built[k].read(run()) for k, run in runs.items()})
        del runs[REFERENCE]
        alone, beside = [], []
        for _ in range(TURNS):
            alone.append(interleave(runs, pace))
            with neighbour():
                beside.append(interleave(runs, pace))
        yield Busy(name, shape, phase, difference, _joined(alone), _joined(beside))


@contextmanager
def neighbour() -> Iterator[subprocess.Popen[Any]]:
    """A process that computes and does nothing else, from the moment that it has begun."""
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE) as process:  # noqa: S603  # ours
        try:
            assert process.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def _joined(parts: Sequence[dict[str, Times]]) -> dict[str, Times]:
    return {name: Times(tuple(s for part in parts for s in part[name].seconds)) for name in parts[0]}
