"""Training on short sequences with everything laid out beforehand, as `chunk` has it for calls without gradients.

What the way back reads is each call's own; what only one pass uses is there once, and used by one thread.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unrolled.cell import without_noise
from unrolled.engine.cpu import room
from unrolled.engine.cpu.call import Call
from unrolled.engine.cpu.compiler import Pass, compiled
from unrolled.engine.cpu.gradients import Gradients
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import HEADER
from unrolled.engine.cpu.large import DTYPES, multiply
from unrolled.engine.cpu.memory import Memory
from unrolled.engine.plan import Plan
from unrolled.engine.weights import Weights

Entries = list[tuple[str, int, tuple[int, ...]]]


class Lesson:
    """Forward and backward over (B, T, F) of one shape by one thread; `fits` says whether without copies."""

    def __init__(self, plan: Plan, weights: Weights) -> None:
        program = without_noise(plan.program, tuple(plan.program.noise))
        code = compiled(program, DTYPES[plan.dtype])
        self.call = call = Call(plan, program, code, None, {}, tuple(weights.named))
        # the pass of a call that is not laid out, so that both give the same bits
        self.step = call.forward(train=True)
        call.units, call.bounds, call.lesson = 1, [0, plan.batch], self
        self.thread, self.addresses = threading.get_ident(), weights.addresses()
        named = {name: value.detach() for name, value in weights.named.items()}
        self.ahead, self.behind = Memory(call, named), Memory(call, named)
        xs = torch.zeros(plan.steps, plan.batch, plan.sizes.input, dtype=plan.dtype)
        self.dtype, self.shapes = plan.dtype, [(plan.batch, plan.sizes.of(w)) for w in program.state.values()]
        self.zeros = zeros = tuple(torch.zeros(shape, dtype=plan.dtype) for shape in self.shapes)
        self.ahead.start(self.step, xs, zeros)
        (self.forth,) = self.ahead.tables(self.step, ascending=not plan.reverse)
        self.behind.tensors = dict(self.ahead.tensors)
        self.behind.start_backward(torch.zeros(*call.steps, zeros[0].shape[1], dtype=plan.dtype), (None,) * len(zeros))
        (self.back,) = self.behind.tables(code.back, ascending=plan.reverse)
        self.gradients = Gradients(self.behind)
        self.made = _entries(self.step, self.ahead.tensors)
        self.read = _entries(code.back, self.ahead.tensors)
        self.given = _entries(code.back, self.behind.scratch)
        self.input = next((at for name, at, _ in _entries(self.step, self.ahead.scratch) if name == INPUT.buffer), None)
        self.incoming = next(at for name, at, _ in self.given if name == "dy")
        self.matrix, self.first = named["W"].mT, plan.steps if plan.reverse else 0
        puts_out_a_state = program.output in program.next
        read = (*self.ahead.read(self.step), *self.behind.read(code.back))
        self.ahead.tensors, self.behind.tensors = {}, {}
        self.fits = puts_out_a_state and all(map(weights.hold, read))

    def forward(self, xs: Tensor, state: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """Outputs and last state, and by name what the way back reads."""
        memory, table, steps = self.ahead, self.forth, xs.transpose(0, 1)
        tensors = {name: room.empty(*shape, dtype=self.call.plan.dtype) for name, _, shape in self.made}
        for name, at, _ in self.made:
            table[at] = tensors[name].data_ptr()
        if self.input is None:
            multiply(room.flat(steps), self.matrix, out=tensors["x"].view(-1, self.matrix.shape[1]))
        else:
            steps = steps if steps.stride(2) == 1 else steps.contiguous()
            _put(table, self.input, steps)
        for name, value in zip(self.call.program.state, state, strict=True):
            tensors[f"s.{name}"][self.first] = value
        if memory.panels is not None:
            memory.panels.fill()
        self.step.run.call(table.buffer_info()[0])
        memory.tensors = tensors
        outputs, last = memory.results()
        memory.tensors = {}
        return (outputs.transpose(0, 1), *last), tensors

    def backward(
        self, xs: Tensor, tensors: dict[str, Tensor], incoming: Sequence[Tensor | None], *, inputs: bool
    ) -> dict[str, Tensor | None]:
        """Gradients as `gradients` gives them."""
        memory, table = self.behind, self.back
        for name, at, _ in self.read:
            table[at] = tensors[name].data_ptr()
        outputs = incoming[0]
        if outputs is None:
            outputs = xs.new_zeros(*xs.shape[:2], self.call.padded[self.call.program.output_width])
        outputs = outputs.transpose(0, 1)
        outputs = outputs if outputs.stride(2) == 1 else outputs.contiguous()
        _put(table, self.incoming, outputs)
        for name, last in zip(self.call.program.state, incoming[1:], strict=True):
            memory.scratch[f"D.{name}"].zero_() if last is None else memory.scratch[f"D.{name}"].copy_(last)
        for total in memory.totals.values():
            total.zero_()
        if memory.panels is not None:
            memory.panels.fill()
        self.call.code.back.run.call(table.buffer_info()[0])
        memory.tensors = tensors
        found = self.gradients(xs.transpose(0, 1), inputs=inputs)
        memory.tensors = {}
        own = [f"D.{name}" for name in self.call.program.state]
        # the scratch of the next call must not be what this one gave
        return found | {name: value.clone() for name in own if (value := found[name]) is not None}


def _put(table: array[int], at: int, value: Tensor) -> None:
    table[at], table[at + 1], table[at + 2] = value.data_ptr(), value.stride(0), value.stride(1)


def _entries(step: Pass, tensors: Mapping[str, Tensor]) -> Entries:
    """Name, entry in the table and shape of each of these buffers that a pass uses."""
    order = [place.buffer for place in step.places]
    return [(n, len(HEADER) + 3 * order.index(n), tuple(t.shape)) for n, t in tensors.items() if n in order]
