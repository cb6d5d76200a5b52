"""Memory of one call: where every buffer lies, what goes into it and what comes out."""

from __future__ import annotations

from array import array

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.call import Call
from unrolled.engine.cpu.compiler import Pass
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.large import multiply
from unrolled.engine.cpu.panels import Panels
from unrolled.engine.cpu.recipe import BLOCKS, where
from unrolled.engine.cpu.schedule import Group, Place


def pad(value: Tensor, width: int) -> Tensor:
    """The last dimension filled up with zeros."""
    return value if value.shape[-1] == width else functional.pad(value, (0, width - value.shape[-1]))


def cut(value: Tensor, width: int) -> Tensor:
    """The last dimension without what fills it up."""
    return value if value.shape[-1] == width else value[..., :width]


class Memory:
    """The buffers of one call, by the names of the schedule: `tensors` outlive a pass, `scratch` does not."""

    def __init__(self, call: Call, named: dict[str, Tensor]) -> None:
        self.call, self.named = call, named
        self.tensors: dict[str, Tensor] = {}
        self.scratch: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}
        self.matrices: list[Tensor] = []
        self.panels: Panels | None = None
        self.barrier: Tensor | None = None

    def start(self, step: Pass, xs: Tensor, state: tuple[Tensor, ...]) -> None:
        """Put the input, or its product with W for all steps, and the first state where the kernel looks for them."""
        call, ragged = self.call, self.call.ragged
        if INPUT.buffer in step.buffers:
            inputs = call.pack(xs)
            self.scratch[INPUT.buffer] = inputs if inputs.stride(-1) == 1 else inputs.contiguous()
        else:
            self.tensors["x"] = self._product(xs)
        at = call.plan.steps if call.plan.reverse else 0
        for (name, width), first in zip(call.program.state.items(), state, strict=True):
            padded = call.padded[width]
            buffer = room.empty(*call.blocks, padded, dtype=call.plan.dtype)
            if ragged is None:
                buffer[at] = pad(first, padded)
            else:
                buffer.index_copy_(0, ragged.first, pad(first, padded))
                buffer[-1] = 0.0
            self.tensors[f"s.{name}"] = buffer

    def _product(self, xs: Tensor) -> Tensor:
        """W x_t for all steps: multiplied, or rows of a table that was."""
        call = self.call
        weight = self.padded_rows(self.named["W"], len(call.program.gates))
        if call.table_rows is not None:
            found = room.empty(*call.steps, len(weight), dtype=call.plan.dtype)
            torch.index_select(multiply(xs, weight.mT), 0, call.table_rows, out=found.view(-1, len(weight)))
            return found
        inputs = call.pack(xs)
        return multiply(room.flat(inputs), weight.mT).view(*call.steps, len(weight))

    def start_backward(self, outputs: Tensor | None, last: tuple[Tensor | None, ...]) -> None:
        """Put the incoming gradients where the kernel looks for them."""
        call, plan = self.call, self.call.plan
        width = call.padded[call.program.output_width]
        if outputs is None:
            self.scratch["dy"] = torch.zeros(*call.steps, width, dtype=plan.dtype)
        else:
            incoming = pad(call.pack(outputs), width)
            self.scratch["dy"] = incoming if incoming.stride(-1) == 1 else incoming.contiguous()
        for (name, of), gradient in zip(call.program.state.items(), last, strict=True):
            buffer = torch.zeros(2, plan.batch, call.padded[of], dtype=plan.dtype)
            if gradient is not None:
                buffer[:] = pad(call.sort(gradient), call.padded[of])
            self.scratch[f"D.{name}"] = buffer

    def run(self, step: Pass, *, ascending: bool) -> None:
        """Call the kernel for each share of the rows."""
        tables = self.tables(step, ascending=ascending)
        alone = tables.pop() if self.call.units > 1 else None
        team.run(step.run, tables, alone)

    def tables(self, step: Pass, *, ascending: bool) -> list[array[int]]:
        """What the kernel takes, for each share of the rows or units; this memory must outlive them."""
        call, dtype = self.call, self.call.plan.dtype
        frame = call.frame(step, ascending=ascending)
        buffers = [self._buffer(place, shape) for place, shape in zip(step.places, frame.shapes, strict=True)]
        if step is call.code.direct:
            names = [(group, name) for _, group in step.schedule.placed() for name in group.names]
            self.matrices = [self.matrix(group, name).contiguous() for group, name in names]
            places = [m.data_ptr() for m in self.matrices]
        else:
            self.panels = Panels(call.code, step, call.sizes, self.source)
            self.panels.fill()
            places = self.panels.places
        if call.units > 1:
            self.barrier = torch.zeros(8, dtype=torch.int64)
        self.totals = {n: torch.zeros(len(frame.tables), width, dtype=dtype) for n, width in frame.totals.items()}
        tables = frame.filled(buffers, places, list(self.totals.values()), self.barrier)
        for name, entry in frame.given:
            strides = self.scratch[name].stride()
            for table in tables:
                table[entry + 1], table[entry + 2] = (0, strides[0]) if len(strides) == 2 else strides[:2]
        return tables

    def _buffer(self, place: Place, shape: tuple[int, ...]) -> Tensor:
        """A buffer, made now if it is not there."""
        name = place.buffer
        tensor = self.tensors.get(name)
        if tensor is None:
            tensor = self.scratch.get(name)
        if tensor is None:
            tensor = self._make(place, shape)
            kept = place.when in ("t", "out") and (name == "x" or name.startswith("v"))
            (self.tensors if kept else self.scratch)[name] = tensor
        return tensor

    def _make(self, place: Place, shape: tuple[int, ...]) -> Tensor:
        call, width = self.call, shape[-1]
        kind, _, name = place.buffer.partition(".")
        if kind == "q":
            return pad(self.named[f"vectors.{name}"], width).contiguous()
        if kind in ("b", "c"):
            bias = self.padded_bias(kind, place.slots)
            return torch.zeros(width, dtype=call.plan.dtype) if bias is None else bias
        if kind == "n":
            value = call.noise[name]
            value = call.pack(value.transpose(0, 1)) if value.dim() == 3 else call.sort(value)
            return pad(value, width).contiguous()
        return room.empty(*shape, dtype=call.plan.dtype)

    def read(self, step: Pass) -> list[Tensor]:
        """What a pass reads of the parameters, laid out: the same memory where that took no copies."""
        units = [place.buffer for place in step.places if place.when == "unit"]
        # zeros stand for a bias that is not there
        vectors = [self.scratch[name] for name in units if name not in ("b", "c") or name in self.named]
        return [*vectors, *self.matrices, *([] if self.panels is None else self.panels.matrices)]

    def padded_rows(self, matrix: Tensor, parts: int) -> Tensor:
        """Stacked matrices (parts * H, n), each filled up with rows of zeros."""
        hidden, padded = self.call.widths["hidden"], self.call.padded["hidden"]
        if hidden == padded:
            return matrix
        filled = functional.pad(matrix.reshape(parts, hidden, -1), (0, 0, 0, padded - hidden))
        return filled.reshape(-1, matrix.shape[-1])

    def padded_bias(self, name: str, parts: int) -> Tensor | None:
        if name not in self.named:
            return None
        if self.call.widths["hidden"] == self.call.padded["hidden"]:
            return self.named[name].contiguous()
        return pad(self.named[name].reshape(parts, -1), self.call.padded["hidden"]).reshape(-1).contiguous()

    def source(self, name: str) -> Tensor:
        """A parameter that matrices are taken from, dense where heads make it a stack of blocks."""
        if name == BLOCKS:
            return self.named["U"]
        value, heads = self.named[name], self.call.program.heads
        if name != "U" or heads == 1:
            return value
        return torch.cat([_dense(part, heads) for part in torch.split(value, self.call.widths["hidden"])])

    def matrix(self, group: Group, name: str) -> Tensor:
        """The whole matrix (to, from) of a gate or product."""
        source, row, height, _ = where(self.call.program, self.call.sizes, group, name)
        return self.source(source)[row : row + height]

    def results(self) -> tuple[Tensor, list[Tensor]]:
        """Outputs (T, B, O) and last states (B, size), in the caller's order of rows."""
        call, program, ragged = self.call, self.call.program, self.call.ragged
        last = []
        for name, width in program.state.items():
            buffer = self.tensors[f"s.{name}"]
            if ragged is None:
                last.append(cut(buffer[0 if call.plan.reverse else call.plan.steps], call.widths[width]).clone())
            else:
                last.append(cut(buffer.index_select(0, ragged.last), call.widths[width]))
        return cut(self.outputs(), call.widths[program.output_width]), last

    def outputs(self) -> Tensor:
        """Outputs of every step, padded, which are a state's values where the cell puts that state out."""
        program, reverse, ragged = self.call.program, self.call.plan.reverse, self.call.ragged
        if program.output not in program.next:
            y = self.scratch["y"]
            return y if ragged is None else self.call.unpacked(functional.pad(y, (0, 0, 0, 1)), ragged.dense)
        name = list(program.state)[program.next.index(program.output)]
        buffer = self.tensors[f"s.{name}"]
        if ragged is not None:
            return self.call.unpacked(buffer, ragged.dense_after)
        return buffer[:-1] if reverse else buffer[1:]


def _dense(blocks: Tensor, heads: int) -> Tensor:
    """Stacked blocks as the dense matrix whose diagonal they are."""
    if heads == 1:
        return blocks
    height, width = blocks.shape[0] // heads, blocks.shape[1]
    matrix = blocks.new_zeros(blocks.shape[0], heads * width)
    for h in range(heads):
        matrix[h * height : (h + 1) * height, h * width : (h + 1) * width] = blocks[h * height : (h + 1) * height]
    return matrix
