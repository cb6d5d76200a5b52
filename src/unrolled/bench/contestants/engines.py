"""Our own engines by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from unrolled.bench.contestants.library import Contestant, Library, Stepper
from unrolled.bench.contestants.tensors import contestant, leaves, lengths_of
from unrolled.bench.problem import Problem
from unrolled.engine import Weights, explain, initial_state, scan, step
from unrolled.errors import EngineError


def library(engine: str) -> Library:
    """One of the engines that `scan` knows."""
    return Library(partial(_refuse, engine), partial(_build, engine), partial(_stepper, engine))


def _refuse(engine: str, problem: Problem) -> str | None:
    xs, named = leaves(problem)
    try:
        explain(problem.cell, Weights.from_dict(named), xs, engine=engine)
    except EngineError as error:
        return str(error)
    return None


def _build(engine: str, problem: Problem) -> Contestant:
    xs, named = leaves(problem)
    weights, lengths = Weights.from_dict(named), lengths_of(problem)

    def run() -> Any:
        return scan(problem.cell, weights, xs, lengths=lengths, engine=engine)[0]

    return contestant(problem, run, [xs, *named.values()])


def _stepper(engine: str, problem: Problem) -> Stepper:
    xs, named = leaves(problem)
    weights, x = Weights.from_dict(named), xs.detach()[:1, 0]
    start = initial_state(problem.program, weights.sizes(problem.program), 1, x.dtype, x.device)

    def steps(count: int) -> Any:
        output, state = None, start
        with torch.no_grad():
            for _ in range(count):
                output, state = step(problem.cell, weights, x, state, engine=engine)
        return output

    return steps
