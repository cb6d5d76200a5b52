"""A short sequence with everything laid out beforehand: what small models and the chunks of streams run on.

Without gradients a call of a few microseconds of products would cost ten times as much in Python. As in `stepper`, the
tables point at the parameters where they lie, and are found again with them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unrolled.cell import without_noise
from unrolled.engine.cpu.call import Call
from unrolled.engine.cpu.compiler import compiled
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import HEADER
from unrolled.engine.cpu.large import DTYPES, multiply
from unrolled.engine.cpu.memory import Memory
from unrolled.engine.plan import Plan
from unrolled.engine.weights import Weights

# Elements of W x of all steps, and of the panels: beyond, Python takes a small part of the time, and memory counts.
MOST = 1 << 16


class Chunk:
    """Inference over (B, T, F) of one shape, by one thread; `fits` says whether it could be laid out without copies."""

    def __init__(self, plan: Plan, weights: Weights) -> None:
        program = without_noise(plan.program, tuple(plan.program.noise))
        self.program, self.plan, self.dtype, self.addresses = program, plan, plan.dtype, weights.addresses()
        call = Call(plan, program, compiled(program, DTYPES[plan.dtype]), None, {}, ())
        # the pass of a call that is not laid out, so that both give the same bits
        step = call.forward(train=False)
        call.units, call.bounds = 1, [0, plan.batch]
        named = {name: value.detach() for name, value in weights.named.items()}
        self.memory = Memory(call, named)
        self.shapes = [(plan.batch, plan.sizes.of(width)) for width in program.state.values()]
        zeros = tuple(torch.zeros(shape, dtype=plan.dtype) for shape in self.shapes)
        self.memory.start(step, torch.zeros(plan.steps, plan.batch, plan.sizes.input, dtype=plan.dtype), zeros)
        (self.table,) = self.memory.tables(step, ascending=not plan.reverse)
        self.run, self.address = step.run.call, self.table.buffer_info()[0]
        order = [place.buffer for place in step.places]
        self.input = len(HEADER) + 3 * order.index(INPUT.buffer) if INPUT.buffer in order else None
        self.gates = None if self.input is not None else self.memory.tensors["x"].flatten(0, 1)
        self.matrix = named["W"].mT
        self.entries = [len(HEADER) + 3 * order.index(f"s.{name}") for name in program.state]
        # each call has buffers of its own for the states, because outputs are a view of one
        for name in program.state:
            del self.memory.tensors[f"s.{name}"]
        self.blocks = [(plan.steps + 1, *shape) for shape in self.shapes]
        self.first, self.last = (plan.steps, 0) if plan.reverse else (0, plan.steps)
        self.output = program.next.index(program.output) if program.output in program.next else -1
        self.fits = self.output >= 0 and all(map(weights.hold, self.memory.read(step)))

    def __call__(self, xs: Tensor, state: Any) -> tuple[Tensor, Any]:
        table, buffers = self.table, []
        steps = xs.transpose(0, 1)
        if self.gates is not None:
            multiply(steps.reshape(-1, xs.shape[2]), self.matrix, out=self.gates)
        elif self.input is not None:
            steps = steps if steps.stride(2) == 1 else steps.contiguous()
            table[self.input], table[self.input + 1], table[self.input + 2] = steps.data_ptr(), *steps.stride()[:2]
        if self.memory.panels is not None:
            self.memory.panels.fill()
        for k, (entry, shape) in enumerate(zip(self.entries, self.blocks, strict=True)):
            buffer = torch.empty(shape, dtype=self.dtype)
            buffer[self.first] = 0.0 if state is None else state[k]
            table[entry] = buffer.data_ptr()
            buffers.append(buffer)
        self.run(self.address)
        outputs = buffers[self.output]
        outputs = outputs[:-1] if self.plan.reverse else outputs[1:]
        return outputs.transpose(0, 1), self.program.state_type(*[buffer[self.last].clone() for buffer in buffers])


def is_short(plan: Plan, weights: Weights) -> bool:
    """Whether Python takes a large part of the time."""
    gates = plan.batch * plan.steps * plan.sizes.hidden * len(plan.program.gates)
    matrices = sum(value.numel() for name, value in weights.named.items() if name != "W")
    return gates <= MOST and matrices <= MOST
