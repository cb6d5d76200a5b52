"""How long a new cell waits for its kernels: compiled for the first time, and loaded from the cache on disk.

`python -m unrolled.bench.cold CELL` is one such wait, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from unrolled.bench.contestants import LIBRARIES
from unrolled.bench.problem import Problem, Shape
from unrolled.bench.recurrent import OURS
from unrolled.cells import by_name
from unrolled.errors import EngineError
from unrolled.tasks.cells import find_cell

SHAPE = Shape(steps=3, batch=2, input=4, hidden=16)
OTHERS = ("indrnn", "leaky")


@dataclass(frozen=True)
class Cold:
    """Seconds until the first training pass of a cell is done: with an empty cache, and with its kernels in it."""

    cell: str
    compiled: float
    loaded: float


def cold(choice: str) -> Cold:
    """Both waits of the cell that `--cell` would name so; EngineError where the process fails."""
    with tempfile.TemporaryDirectory() as cache:
        return Cold(choice, _process(choice, cache), _process(choice, cache))


def _process(choice: str, cache: str) -> float:
    command = [sys.executable, "-m", "unrolled.bench.cold", choice]
    environment = os.environ | {"UNROLLED_CACHE": cache}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603  # our own
    if done.returncode:
        raise EngineError(f"a process that compiles {choice} failed ({done.stderr.strip().splitlines()[-1]}).")
    return float(done.stdout)


def wait(choice: str) -> float:
    """Seconds of the first training pass in this process, after one of another cell for what all cells need."""
    cell = find_cell(choice)
    other = next(found for found in map(by_name, OTHERS) if found != cell)
    _train(Problem.random("other", other, SHAPE))
    problem = Problem.random(choice, cell, SHAPE)
    begin = time.perf_counter()
    _train(problem)
    return time.perf_counter() - begin


def _train(problem: Problem) -> None:
    run = LIBRARIES[OURS].build(problem).training
    assert run is not None  # noqa: S101  # for the type checker: our engines train
    run()


if __name__ == "__main__":
    print(wait(sys.argv[1]))  # noqa: T201  # this module is a command
