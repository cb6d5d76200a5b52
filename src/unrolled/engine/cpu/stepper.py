"""One step after another with everything laid out beforehand: what streaming and generation run on.

A stepper holds no weights: its table points at the parameters where they lie, so a changed parameter is seen at once.
It is found again with them, while they lie where they did.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Program, without_noise
from unrolled.engine.cpu import kept, team
from unrolled.engine.cpu.call import Call
from unrolled.engine.cpu.compiler import compiled
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import HEADER
from unrolled.engine.cpu.large import DTYPES
from unrolled.engine.cpu.memory import Memory
from unrolled.engine.plan import Plan
from unrolled.engine.weights import Weights

MOST_ROWS = 2
# Bytes of matrices that a thread reads in the time that it takes to bring in another.
WORTH_A_THREAD = 400_000
# Seconds after a step in which the threads of a team still look for work.
NEAR = 100e-6
# Steps that a thread takes alone first, to know its time; slower ones of the team, the first of which wakes it, after
# which it does so again; and for how many seconds.
FIRST, PATIENCE, PENALTY = 8, 3, 0.05


class Stepper:
    """The table of a step of so many rows; `fits` says whether it could be laid out without copies."""

    def __init__(self, plan: Plan, weights: Weights) -> None:
        program = without_noise(plan.program, tuple(plan.program.noise))
        self.program, self.dtype, self.bytes = program, plan.dtype, plan.dtype.itemsize
        call = Call(plan, program, compiled(program, DTYPES[plan.dtype]), None, {}, ())
        named = {name: value.detach() for name, value in weights.named.items()}
        memory, step = Memory(call, named), call.code.direct
        self.addresses = weights.addresses()
        self.shapes = [(plan.batch, plan.sizes.of(w)) for w in program.state.values()]
        zeros = tuple(torch.zeros(shape, dtype=plan.dtype) for shape in self.shapes)
        memory.start(step, torch.zeros(1, plan.batch, plan.sizes.input, dtype=plan.dtype), zeros)
        openmp = team.together()
        call.bounds, call.units = [0, plan.batch], 1 if openmp is None or call.code.whole_rows else _shares(named)
        self.tables = memory.tables(step, ascending=True)
        *parts, self.table = self.tables
        self.own = [self.table]
        self.memory, self.run, self.address = memory, step.run.call, self.table.buffer_info()[0]
        self.barrier, self.together = team.table([0]), None
        if openmp is not None and parts:
            for part in parts:
                part[HEADER.index("barrier")] = self.barrier.buffer_info()[0]
            self.together = team.ready(openmp, step.run, parts, self.table)
        self.alone, self.slow, self.best, self.last, self.not_before = 0, 0, math.inf, 0.0, 0.0
        order = [place.buffer for place in step.places]
        self.input = len(HEADER) + 3 * order.index(INPUT.buffer) if INPUT.buffer in order else None
        self.gates = memory.tensors["x"].view(plan.batch, -1) if self.input is None else None
        self.matrix = named["W"].mT
        self.entries = [len(HEADER) + 3 * order.index(f"s.{name}") for name in program.state]
        self.output = program.next.index(program.output) if program.output in program.next else None
        self.outputs = memory.outputs()[0]
        self.fits = all(map(weights.hold, memory.read(step)))

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        begin = time.perf_counter()
        together = self.together is not None and begin - self.last < NEAR and self._has_team(begin)
        tables, after = self.tables if together else self.own, []
        x = x.contiguous()
        if self.input is None:
            torch.mm(x, self.matrix, out=self.gates)
        else:
            place = x.data_ptr()
            for table in tables:
                table[self.input] = place
        before = []
        for entry, shape, value in zip(self.entries, self.shapes, state, strict=True):
            new = torch.empty(shape, dtype=self.dtype)
            after.append(new)
            before.append(value.contiguous())
            # one stride further in time lies the next state, wherever that is
            start = before[-1].data_ptr()
            stride = (new.data_ptr() - start) // self.bytes
            for table in tables:
                table[entry], table[entry + 1] = start, stride
        self._run(begin, together=together)
        output = self.outputs if self.output is None else after[self.output]
        return output.clone(), self.program.state_type(*after)

    def _has_team(self, now: float) -> bool:
        known = self.alone >= FIRST and now > self.not_before
        return known and torch.get_num_threads() > 1 and team.together() is not None

    def _run(self, begin: float, *, together: bool) -> None:
        """By the team only while its threads are still awake from the step before, and while their cores are free."""
        if together and self.together is not None:
            self.barrier[0] = 0
            self.together()
        else:
            self.run(self.address)
        if self.together is None:
            return
        self.last = end = time.perf_counter()
        if not together:
            self.best, self.alone = min(self.best, end - begin), self.alone + 1
            return
        self.slow = self.slow + 1 if end - begin > self.best else 0
        if self.slow == PATIENCE:
            self.slow, self.not_before = 0, end + PENALTY


def _shares(named: Mapping[str, Tensor]) -> int:
    """Threads for a step: as many as have a share of the matrices that takes longer to read than to wait for."""
    if threading.current_thread() is not threading.main_thread():
        return 1  # a server's threads are cores enough
    size = sum(value.nbytes for value in named.values() if value.dim() == 2)
    return max(1, min(torch.get_num_threads(), size // WORTH_A_THREAD))


def find(program: Program, weights: Weights, x: Tensor, state: Any) -> Stepper | None:
    """The stepper of this call, if one was laid out for it before."""
    found = kept.find(weights, Stepper, (program, x.shape))
    return found if found is not None and state is not None and kept.takes(found, weights, x, state) else None


def prepare(plan: Plan, weights: Weights, x: Tensor) -> None:
    """Lay a stepper out for calls like this one, unless that needs copies."""
    key = plan.program, x.shape
    if kept.wanted(weights, Stepper, key):
        able = plan.batch <= MOST_ROWS and kept.without_copies(plan, weights)
        kept.remember(weights, Stepper, key, lambda: kept.fitting(Stepper(plan, weights)) if able else None)
