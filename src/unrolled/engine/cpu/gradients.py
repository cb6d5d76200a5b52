"""Gradients of every input of a call from the adjoints that its kernel left, in products over all steps."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.engine.cpu import room
from unrolled.engine.cpu.large import multiply
from unrolled.engine.cpu.memory import Memory, cut
from unrolled.engine.cpu.schedule import Group, Place


class Gradients:
    """Gradients of every input of a call; what lies in the same memory each time is looked up once."""

    def __init__(self, memory: Memory) -> None:
        self.memory, call = memory, memory.call
        gates = len(call.program.gates)
        self.gates, self.hidden, self.padded = gates, call.widths["hidden"], call.padded["hidden"]
        self.dx = memory.scratch["dx"].reshape(-1, gates * self.padded)
        self.weight = memory.padded_rows(memory.named["W"], gates)
        groups = call.code.back.schedule.matrices()
        self.groups = [(group, self._adjoints(group), call.code.operands[group.names[0]]) for group in groups]

    def _adjoints(self, group: Group) -> Tensor:
        """The adjoints (N, n) of a group's products, turned over."""
        place, width = group.operand, self.memory.call.padded[group.depth[1]]
        adjoints = self.memory.scratch[place.buffer]
        adjoints = adjoints.view(-1, adjoints.shape[-1])
        if len(group.names) < place.slots:
            adjoints = adjoints[:, place.slot * width : (place.slot + len(group.names)) * width]
        return adjoints.mT

    def __call__(self, xs: Tensor, *, inputs: bool) -> dict[str, Tensor | None]:
        """By the names of the weights, "xs" (where `inputs` asks for it) and "D.NAME" for the first states."""
        memory, dx = self.memory, self.dx
        call, program = memory.call, memory.call.program
        if call.table_rows is None:
            packed = call.pack(xs)
            flat = room.flat(packed)
        else:
            # what a row of the table was read for, summed: from here on each is read once
            packed = flat = xs
            dx = torch.ops.aten.embedding_dense_backward(dx, call.table_rows, len(xs), -1, False)
        found: dict[str, Tensor | None] = {"W": self._rows(multiply(dx.mT, flat)), "xs": None}
        bias = dx.sum(0)
        found["b"] = bias if self.hidden == self.padded else self._rows(bias.unsqueeze(1)).reshape(-1)
        if inputs:
            found["xs"] = self._inputs(dx, packed.shape)
        self._products(found)
        for name, total in memory.totals.items():
            vector = name.removeprefix("p.")
            found[f"vectors.{vector}"] = total.sum(0)[: call.widths[program.vectors[vector].size]]
        for vector in program.vectors:
            found.setdefault(f"vectors.{vector}", torch.zeros_like(memory.named[f"vectors.{vector}"]))
        for name, width in program.state.items():
            found[f"D.{name}"] = call.unsort(cut(_of_state(memory, name), call.widths[width]))
        return found

    def _inputs(self, dx: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of the input, zero where a row has ended."""
        call = self.memory.call
        if call.ragged is None or call.table_rows is not None:
            return multiply(dx, self.weight).view(shape)
        adjoint = room.empty(len(dx) + 1, shape[-1], dtype=dx.dtype)
        multiply(dx, self.weight, out=adjoint[:-1])
        adjoint[-1] = 0.0
        return call.unpacked(adjoint, call.ragged.dense)

    def _rows(self, value: Tensor) -> Tensor:
        if self.hidden == self.padded:
            return value
        return value.reshape(self.gates, self.padded, -1)[:, : self.hidden].reshape(self.gates * self.hidden, -1)

    def _products(self, found: dict[str, Tensor | None]) -> None:
        """U, c and further matrices: adjoints times operands over all steps, one product for all of an operand."""
        memory, call, program = self.memory, self.memory.call, self.memory.call.program
        hidden = self.hidden
        blocks: dict[str, Tensor] = {}
        biases: dict[str, Tensor] = {}
        for group, adjoints, place in self.groups:
            width, units = call.padded[group.depth[1]], call.widths[group.depth[1]]
            products = _product(adjoints, _operand(memory, place), len(group.names), units, group.heads)
            if group.names == tuple(program.recurrent) and width == hidden:
                found["U"] = products
                if not program.recurrent_biased:
                    continue
            for k, name in enumerate(group.names):
                gradient = products[k * width : k * width + units]
                if name in program.products:
                    found[f"products.{name}"] = gradient
                    continue
                blocks[name] = gradient
                if name in program.recurrent_biased:
                    biases[name] = adjoints[k * width : k * width + hidden].sum(1)
        if program.recurrent and "U" not in found:
            zero = torch.zeros(hidden, memory.named["U"].shape[1], dtype=call.plan.dtype)
            found["U"] = torch.cat([blocks.get(g, zero) for g in program.recurrent])
        if program.recurrent_biased:
            nothing = torch.zeros(hidden, dtype=call.plan.dtype)
            found["c"] = torch.cat([biases.get(g, nothing) for g in program.recurrent_biased])


def _of_state(memory: Memory, name: str) -> Tensor:
    """The two buffers took turns; a row that ended early in a reverse pass stopped at its own turn."""
    buffer, plan, ragged = memory.scratch[f"D.{name}"], memory.call.plan, memory.call.ragged
    if plan.reverse and ragged is not None:
        return buffer[ragged.lengths % 2, torch.arange(plan.batch)]
    return buffer[plan.steps % 2]


def _operand(memory: Memory, place: Place) -> Tensor:
    """The values (N, n) that a matrix multiplied, in the order of its adjoints."""
    call = memory.call
    tensor, ragged = memory.tensors[place.buffer], call.ragged
    width = call.padded[place.width]
    if tensor.shape[-1] != call.widths[place.width]:
        tensor = tensor[..., place.slot * width : place.slot * width + call.widths[place.width]]
    if place.when in ("in", "out"):
        if ragged is not None:
            return tensor.index_select(0, ragged.before if place.when == "in" else ragged.after)
        later = (place.when == "out") != call.plan.reverse
        tensor = tensor[1:] if later else tensor[:-1]
    # a traced call keeps packed buffers longer than they are
    return tensor.reshape(-1, tensor.shape[-1]) if ragged is None else tensor[: ragged.count]


def _product(adjoints: Tensor, operand: Tensor, gates: int, units: int, heads: int) -> Tensor:
    """Adjoints (gates * width, N) times operand (N, n): (gates * width, n / heads), of each head its block alone."""
    if heads == 1:
        return multiply(adjoints, operand)
    width, height, columns = len(adjoints) // gates, units // heads, operand.shape[1] // heads
    found = adjoints.new_empty(gates * width, columns)
    for gate in range(gates):
        for head in range(heads):
            first = gate * width + head * height
            block = adjoints[first : first + height]
            found[first : first + height] = multiply(block, operand[:, head * columns : (head + 1) * columns])
    return found
