"""One step after another with everything laid out beforehand: what streaming and generation run on.

A stepper holds no weights: its table points at the parameters where they lie, so a changed parameter is seen at once.
It is found again by those addresses, which is why everything that a call could have checked is part of the key.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Program, without_noise
from unrolled.engine.cpu.call import Call
from unrolled.engine.cpu.compiler import compiled
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import HEADER
from unrolled.engine.cpu.large import DTYPES
from unrolled.engine.cpu.memory import Memory
from unrolled.engine.plan import Plan
from unrolled.engine.weights import Weights

KEPT = 64
MOST_ROWS = 2
_local = threading.local()  # buffers are written in place, so each thread has its own


class Stepper:
    """The table of a step of so many rows; `fits` says whether it could be laid out without copies."""

    def __init__(self, plan: Plan, weights: Weights) -> None:
        program = without_noise(plan.program, tuple(plan.program.noise))
        self.program, self.dtype, self.bytes = program, plan.dtype, plan.dtype.itemsize
        call = Call(plan, program, compiled(program, DTYPES[plan.dtype]), None, {}, ())
        named = {name: value.detach() for name, value in weights.as_dict().items()}
        memory, step = Memory(call, named), call.code.direct
        self.shapes = [(plan.batch, plan.sizes.of(w)) for w in program.state.values()]
        zeros = tuple(torch.zeros(shape, dtype=plan.dtype) for shape in self.shapes)
        memory.start(step, torch.zeros(1, plan.batch, plan.sizes.input, dtype=plan.dtype), zeros)
        (self.table,) = memory.tables(step, ascending=True)
        self.memory, self.run, self.address = memory, step.run.call, self.table.buffer_info()[0]
        order = [place.buffer for place in step.places]
        self.input = len(HEADER) + 3 * order.index(INPUT.buffer) if INPUT.buffer in order else None
        self.gates = memory.tensors["x"].view(plan.batch, -1) if self.input is None else None
        self.matrix = named["W"].mT
        self.entries = [len(HEADER) + 3 * order.index(f"s.{name}") for name in program.state]
        self.output = program.next.index(program.output) if program.output in program.next else None
        self.outputs = memory.outputs()[0]
        ranges = [(t.data_ptr(), t.data_ptr() + t.numel() * t.element_size()) for t in named.values()]
        units = [place.buffer for place in step.places if place.when == "unit"]
        read = [*(memory.scratch[name] for name in units if self._given(name, named)), *memory.matrices]
        self.fits = all(any(a <= t.data_ptr() < b for a, b in ranges) for t in read)

    def _given(self, buffer: str, named: dict[str, Tensor]) -> bool:
        """Whether the buffer holds a parameter, and not the zeros of a bias that is not there."""
        return buffer not in ("b", "c") or buffer in named

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        table, after = self.table, []
        x, before = x.contiguous(), [value.contiguous() for value in state]
        if self.input is None:
            torch.mm(x, self.matrix, out=self.gates)
        else:
            table[self.input] = x.data_ptr()
        for entry, shape, value in zip(self.entries, self.shapes, before, strict=True):
            new = torch.empty(shape, dtype=self.dtype)
            after.append(new)
            # one stride further in time lies the next state, wherever that is
            table[entry] = start = value.data_ptr()
            table[entry + 1] = (new.data_ptr() - start) // self.bytes
        self.run(self.address)
        output = self.outputs if self.output is None else after[self.output]
        return output.clone(), self.program.state_type(*after)


def find(program: Program, weights: Weights, x: Tensor, state: Any) -> Stepper | None:
    """The stepper of this call, if one was laid out for it before."""
    if x.shape[0] > MOST_ROWS or not (x.is_cpu and all(s.is_cpu for s in state)):
        return None
    known: OrderedDict[Any, Stepper | None] = _steppers()
    return known.get(_key(program, weights, x, state))


def prepare(plan: Plan, weights: Weights, x: Tensor, state: Any) -> None:
    """Lay a stepper out for calls like this one; where that needs copies, remember that there is none."""
    padded = compiled(plan.program, DTYPES[plan.dtype]).lanes
    whole = plan.sizes.hidden % padded == 0 and plan.sizes.output % padded == 0
    if plan.batch > MOST_ROWS or plan.program.heads > 1 or not whole or not _plain(weights):
        return
    known = _steppers()
    stepper = Stepper(plan, weights)
    known[_key(plan.program, weights, x, state)] = stepper if stepper.fits else None
    while len(known) > KEPT:
        known.popitem(last=False)


def _plain(weights: Weights) -> bool:
    return all(t.is_contiguous() for t in weights.as_dict().values())


def _steppers() -> OrderedDict[Any, Stepper | None]:
    if not hasattr(_local, "steppers"):
        _local.steppers = OrderedDict()
    found: OrderedDict[Any, Stepper | None] = _local.steppers
    return found


def _key(program: Program, weights: Weights, x: Tensor, state: Any) -> tuple[Any, ...]:
    tensors = [weights.W, weights.U, weights.b, weights.c, *weights.vectors.values(), *weights.products.values()]
    where = tuple(None if t is None else (t.data_ptr(), t.shape, t.stride()) for t in tensors)
    return program, where, x.dtype, x.shape, x.stride(), tuple(s.shape for s in state), tuple(s.dtype for s in state)
