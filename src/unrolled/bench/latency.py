"""One time step at a time from Python, the state handed in and out, as streaming and generation do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from unrolled.bench.contestants import LIBRARIES
from unrolled.bench.problem import Problem, Shape
from unrolled.bench.recurrent import OURS, REFERENCE, TORCH, check
from unrolled.bench.timing import Pace, Times, interleave
from unrolled.cell import Cell

SHAPE = Shape(steps=1, batch=1, input=128, hidden=256)
LIBRARIES_WITH_STEPS = (OURS, TORCH, REFERENCE, "jax", "onnxruntime")
STEPS = 100


@dataclass(frozen=True)
class Latency:
    """Seconds of a single step of one row; `absent` says why a library has none."""

    cell: str
    shape: Shape
    difference: float
    times: dict[str, Times]
    absent: dict[str, str] = field(default_factory=dict)


def latency(
    name: str, cell: Cell, pace: Pace, shape: Shape = SHAPE, libraries: Sequence[str] = LIBRARIES_WITH_STEPS
) -> Latency:
    """Each library's step, after the last output of many steps was found equal; EngineError where it is not."""
    problem = Problem.random(name, cell, shape)
    steppers, absent = {}, {}
    for library in libraries:
        reason, make = LIBRARIES[library].refuse(problem), LIBRARIES[library].stepper
        if reason is None and make is not None:
            steppers[library] = make(problem)
        else:
            absent[library] = reason or "its steps are not timed"
    answers = {library: (np.asarray(run(STEPS)),) for library, run in steppers.items()}
    difference = check(f"{name}, {STEPS} steps at {shape}", answers)
    found = interleave({library: partial(run, STEPS) for library, run in steppers.items()}, pace)
    each = {library: Times(tuple(s / STEPS for s in times.seconds)) for library, times in found.items()}
    return Latency(name, shape, difference, each, absent)
