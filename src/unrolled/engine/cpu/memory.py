"""Memory of one call: how rows are shared out, where every buffer lies, and what its gradients are made of."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.cell import Program
from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import Compiled, Pass
from unrolled.engine.cpu.large import multiply, worth
from unrolled.engine.cpu.panels import packed
from unrolled.engine.cpu.schedule import Place
from unrolled.engine.plan import Plan

# Elements of the recurrent matrices from which on a thread gains more by its share of them than it waits for others;
# and from which on they fit no core's own cache, so that a share helps more rows.
WORTH_A_BARRIER = 8_000
LARGE = 2_000_000


@dataclass
class Call:
    """What one call needs beside its tensors, and how rows are shared out."""

    plan: Plan
    program: Program
    code: Compiled
    lengths: Tensor | None
    noise: dict[str, Tensor]
    names: list[str]
    order: Tensor | None = None
    bounds: list[int] = field(default_factory=list)
    sorted_lengths: Tensor | None = None
    units: int = 1  # shares of the units of all rows, instead of shares of the rows

    def __post_init__(self) -> None:
        rows, threads = self.plan.batch, worth(self._work())
        if threads > 1 and self._worth_sharing_units(rows, threads):
            self.units, threads = threads, 1
        threads = min(max(1, rows), threads)
        if self.lengths is not None:
            order = torch.argsort(self.lengths.cpu(), descending=True, stable=True)
            shares = [order[k::threads] for k in range(threads)]
            self.order = torch.cat(shares)
            self.sorted_lengths = self.lengths.cpu()[self.order].to(torch.int64).contiguous()
            sizes = [len(s) for s in shares]
        else:
            sizes = [rows // threads + (k < rows % threads) for k in range(threads)]
        self.bounds = [sum(sizes[:k]) for k in range(threads + 1)]

    def _worth_sharing_units(self, rows: int, threads: int) -> bool:
        """Where so few rows are left to each thread that reading the matrices costs more than multiplying by them."""
        elements = self.plan.sizes.hidden * self.plan.sizes.output * len(self.program.recurrent)
        few = rows <= (8 if elements >= LARGE else 2) * threads
        whole = any(step.whole_rows for step in (self.code.infer, self.code.train, self.code.back))
        return few and elements >= WORTH_A_BARRIER and not whole and team.together() is not None

    def _work(self) -> int:
        sizes = self.plan.sizes
        each = len(self.program.recurrent) * sizes.output + 40 * len(self.program.nodes) // 10
        return self.plan.batch * self.plan.steps * sizes.hidden * each

    def sort(self, value: Tensor, dim: int) -> Tensor:
        return value if self.order is None else value.index_select(dim, self.order)

    def unsort(self, value: Tensor, dim: int) -> Tensor:
        if self.order is None:
            return value
        back = torch.empty_like(self.order)
        back[self.order] = torch.arange(len(back))
        return value.index_select(dim, back)

    def width(self, name: str) -> int:
        return self.plan.sizes.of(name)

    def padded(self, name: str) -> int:
        return -(-self.width(name) // self.code.lanes) * self.code.lanes

    def room(self, *shape: int) -> Tensor:
        """Memory for values over time; zeros where some rows end early and would leave theirs unwritten."""
        kind = torch.zeros if self.order is not None else room.empty
        return kind(*shape, dtype=self.plan.dtype)


def pad(value: Tensor, width: int) -> Tensor:
    """The last dimension filled up with zeros."""
    return value if value.shape[-1] == width else functional.pad(value, (0, width - value.shape[-1]))


class Memory:
    """The buffers of one call, by the names of the schedule."""

    def __init__(self, call: Call, named: dict[str, Tensor], train: bool) -> None:
        self.call, self.named, self.train = call, {k: v.detach() for k, v in named.items()}, train
        self.tensors: dict[str, Tensor] = {}
        self.scratch: dict[str, Tensor] = {}
        self.totals: dict[str, Tensor] = {}
        self.matrices: list[Tensor] = []

    def start(self, xs: Tensor, state: tuple[Tensor, ...]) -> None:
        """Project the input for all steps in one product and put the first state where the kernel looks for it."""
        call, plan = self.call, self.call.plan
        steps, batch = plan.steps, plan.batch
        flat = call.sort(xs.detach(), 1).reshape(steps * batch, -1)
        if call.order is not None and call.sorted_lengths is not None:
            ended = torch.arange(steps)[:, None] >= call.sorted_lengths
            flat = flat.masked_fill(ended.reshape(-1, 1), 0.0)
        gates = len(call.program.gates)
        weight = self.padded_rows(self.named["W"], gates)
        self.tensors["x"] = multiply(flat, weight.mT).view(steps, batch, -1)
        for (name, width), first in zip(call.program.state.items(), state, strict=True):
            buffer = call.room(steps + 1, batch, call.padded(width))
            first = pad(call.sort(first.detach(), 0), call.padded(width))
            if not plan.reverse:
                buffer[0] = first
            elif call.sorted_lengths is None:
                buffer[steps] = first
            else:
                buffer[call.sorted_lengths, torch.arange(batch)] = first
            self.tensors[f"s.{name}"] = buffer

    def start_backward(self, outputs: Tensor | None, last: tuple[Tensor | None, ...]) -> None:
        """Put the incoming gradients where the kernel looks for them."""
        call, plan = self.call, self.call.plan
        width = call.padded(call.program.output_width)
        if outputs is None:
            self.scratch["dy"] = torch.zeros(plan.steps, plan.batch, width, dtype=plan.dtype)
        else:
            self.scratch["dy"] = pad(call.sort(outputs, 1), width).contiguous()
        for (name, of), gradient in zip(call.program.state.items(), last, strict=True):
            buffer = torch.zeros(2, plan.batch, call.padded(of), dtype=plan.dtype)
            if gradient is not None:
                buffer[:] = pad(call.sort(gradient, 0), call.padded(of))
            self.scratch[f"D.{name}"] = buffer

    def run(self, step: Pass, *, ascending: bool) -> None:
        """Call the kernel for each share of the rows."""
        tables = self.tables(step, ascending=ascending)
        alone = tables.pop() if self.call.units > 1 else None
        team.run(step.run, tables, alone)

    def tables(self, step: Pass, *, ascending: bool) -> list[array[int]]:
        """What the kernel takes, for each share of the rows or units; this memory must outlive them."""
        call, plan = self.call, self.call.plan
        buffers = [self._entry(place) for place in step.places]
        pairs = [(stage, group) for stage in step.schedule.stages for group in stage.groups]
        if step is call.code.direct:
            self.matrices = [self.matrix(name).contiguous() for _, group in pairs for name in group.names]
        else:
            self.matrices = packed(call.code, pairs, self.matrix, call.padded)
        parts = [(first, last, 0, 1) for first, last in pairwise(call.bounds)]
        if call.units > 1:
            # the last is for a team that got fewer threads: all units, nobody to wait for
            parts = [(0, plan.batch, k, call.units) for k in range(call.units)] + parts
        widths = {name: call.padded(call.program.vectors[name.removeprefix("p.")].size) for name in step.sums}
        self.totals = {n: torch.zeros(len(parts), w, dtype=plan.dtype) for n, w in widths.items()}
        self.barrier = torch.zeros(8, dtype=torch.int64)
        lengths, give_way = call.sorted_lengths, team.give_way()
        tables = []
        for k, (first, last, share, shares) in enumerate(parts):
            header = [plan.steps, first, last, plan.sizes.hidden, plan.sizes.output, int(not ascending),
                      int(plan.reverse), 0 if lengths is None else lengths.data_ptr(), share, shares,
                      self.barrier.data_ptr() if shares > 1 else 0, give_way]  # fmt: skip
            values = header + [n for b in buffers for n in b] + [m.data_ptr() for m in self.matrices]
            values += [t[k].data_ptr() for t in self.totals.values()]
            tables.append(team.table(values))
        return tables

    def _entry(self, place: Place) -> tuple[int, int, int]:
        """Address and strides of a buffer, made now if it is not there."""
        name = place.buffer
        tensor = self.tensors.get(name)
        if tensor is None:
            tensor = self.scratch.get(name)
        if tensor is None:
            tensor = self._make(place)
            kept = place.when in ("t", "out") and name.startswith("v")
            (self.tensors if kept else self.scratch)[name] = tensor
        if place.when == "unit":
            return tensor.data_ptr(), 0, 0
        if tensor.dim() == 2:
            return tensor.data_ptr(), 0, tensor.stride(0)
        return tensor.data_ptr(), tensor.stride(0), tensor.stride(1)

    def _make(self, place: Place) -> Tensor:
        call, plan = self.call, self.call.plan
        width = call.padded(place.width) * place.slots
        kind, _, name = place.buffer.partition(".")
        if kind == "q":
            return pad(self.named[f"vectors.{name}"], width).contiguous()
        if kind in ("b", "c"):
            bias = self.padded_bias(kind, place.slots)
            return torch.zeros(width, dtype=plan.dtype) if bias is None else bias
        if kind == "n":
            value = call.noise[name]
            value = call.sort(value.transpose(0, 1), 1) if value.dim() == 3 else call.sort(value, 0)
            return pad(value, width).contiguous()
        if place.when == "mean":
            return room.empty(plan.batch, call.code.lanes, dtype=plan.dtype)
        if place.when == "row":
            return room.empty(plan.batch, width, dtype=plan.dtype)
        return call.room(plan.steps, plan.batch, width)

    def padded_rows(self, matrix: Tensor, parts: int) -> Tensor:
        """Stacked matrices (parts * H, n), each filled up with rows of zeros."""
        hidden = self.call.plan.sizes.hidden
        extra = self.call.padded("hidden") - hidden
        if extra == 0:
            return matrix
        return functional.pad(matrix.reshape(parts, hidden, -1), (0, 0, 0, extra)).reshape(-1, matrix.shape[-1])

    def padded_bias(self, name: str, parts: int) -> Tensor | None:
        if name not in self.named:
            return None
        return pad(self.named[name].reshape(parts, -1), self.call.padded("hidden")).reshape(-1).contiguous()

    def matrix(self, name: str) -> Tensor:
        """The whole matrix (to, from) of a gate or product; heads become blocks of a dense one."""
        program = self.call.program
        if name in program.products:
            return self.named[f"products.{name}"]
        hidden = self.call.plan.sizes.hidden
        k = list(program.recurrent).index(name)
        rows = self.named["U"][k * hidden : (k + 1) * hidden]
        return _dense(rows, program.heads)

    def results(self) -> tuple[Tensor, list[Tensor]]:
        """Outputs (T, B, O) and last states (B, size), in the caller's order of rows."""
        call, plan, program = self.call, self.call.plan, self.call.program
        last = []
        for name, width in program.state.items():
            buffer = self.tensors[f"s.{name}"][..., : call.width(width)]
            if plan.reverse or call.sorted_lengths is None:
                end = buffer[0 if plan.reverse else plan.steps]
            else:
                end = buffer[call.sorted_lengths, torch.arange(plan.batch)]
            last.append(call.unsort(end, 0).clone())
        outputs = self.outputs()[..., : call.width(program.output_width)]
        if call.sorted_lengths is not None:
            ended = torch.arange(plan.steps)[:, None] >= call.sorted_lengths
            outputs = call.unsort(outputs.masked_fill(ended.unsqueeze(-1), 0.0), 1)
        return outputs, last

    def outputs(self) -> Tensor:
        """Outputs (T, B, padded), which are a state's sequence where the cell puts that state out."""
        program, reverse = self.call.program, self.call.plan.reverse
        if program.output not in program.next:
            return self.scratch["y"]
        name = list(program.state)[program.next.index(program.output)]
        buffer = self.tensors[f"s.{name}"]
        return buffer[:-1] if reverse else buffer[1:]

    def gradients(self, xs: Tensor, wanted: bool) -> dict[str, Tensor | None]:
        """Gradients of every input from the adjoints that the kernel left, in products over all steps."""
        call, plan, program = self.call, self.call.plan, self.call.program
        gates, hidden, padded = len(program.gates), plan.sizes.hidden, call.padded("hidden")
        found: dict[str, Tensor | None] = {}
        dx = self.scratch["dx"].reshape(-1, gates * padded)
        flat = call.sort(xs, 1).reshape(plan.steps * plan.batch, -1)
        if call.sorted_lengths is not None:
            ended = torch.arange(plan.steps)[:, None] >= call.sorted_lengths
            flat = flat.masked_fill(ended.reshape(-1, 1), 0.0)

        def rows(value: Tensor) -> Tensor:
            return value.reshape(gates, padded, -1)[:, :hidden].reshape(gates * hidden, -1)

        found["W"] = rows(multiply(dx.mT, flat))
        found["b"] = rows(dx.sum(0)).reshape(-1)
        weight = self.padded_rows(self.named["W"], gates)
        found["xs"] = call.unsort(multiply(dx, weight).reshape(xs.shape), 1) if wanted else None
        self._product_gradients(found)
        for name, total in self.totals.items():
            vector = name.removeprefix("p.")
            found[f"vectors.{vector}"] = total.sum(0)[: call.width(program.vectors[vector].size)]
        for vector in program.vectors:
            found.setdefault(f"vectors.{vector}", torch.zeros_like(self.named[f"vectors.{vector}"]))
        for name, width in program.state.items():
            found[f"D.{name}"] = call.unsort(self._state_gradient(name)[:, : call.width(width)], 0)
        return found

    def _state_gradient(self, name: str) -> Tensor:
        """The two buffers took turns; a row that ended early in a reverse pass stopped at its own turn."""
        buffer, plan = self.scratch[f"D.{name}"], self.call.plan
        if plan.reverse and self.call.sorted_lengths is not None:
            return buffer[self.call.sorted_lengths % 2, torch.arange(plan.batch)]
        return buffer[plan.steps % 2]

    def _product_gradients(self, found: dict[str, Tensor | None]) -> None:
        """U, c and further matrices: adjoints times operands over all steps, one product for all of an operand."""
        call, program = self.call, self.call.program
        rows, hidden = self.call.plan.steps * self.call.plan.batch, self.call.plan.sizes.hidden
        blocks: dict[str, Tensor] = {}
        biases: dict[str, Tensor] = {}
        for group in call.code.back.schedule.matrices():
            place, width = group.operand, call.padded(group.depth[1])
            adjoints = self.scratch[place.buffer].reshape(rows, -1)
            adjoints = adjoints[:, place.slot * width : (place.slot + len(group.names)) * width]
            products = multiply(adjoints.mT, self._operand(call.code.operands[group.names[0]]))
            for k, name in enumerate(group.names):
                gradient = products[k * width : k * width + call.width(group.depth[1])]
                if name in program.products:
                    found[f"products.{name}"] = gradient
                    continue
                blocks[name] = _diagonal(gradient, program.heads)
                if name in program.recurrent_biased:
                    biases[name] = adjoints[:, k * width : k * width + hidden].sum(0)
        if program.recurrent:
            zero = torch.zeros(hidden, self.named["U"].shape[1], dtype=call.plan.dtype)
            found["U"] = torch.cat([blocks.get(g, zero) for g in program.recurrent])
        if program.recurrent_biased:
            nothing = torch.zeros(hidden, dtype=call.plan.dtype)
            found["c"] = torch.cat([biases.get(g, nothing) for g in program.recurrent_biased])

    def _operand(self, place: Place) -> Tensor:
        call, plan = self.call, self.call.plan
        tensor = self.tensors[place.buffer]
        if place.when == "in":
            tensor = tensor[1:] if plan.reverse else tensor[:-1]
        if place.when == "out":
            tensor = tensor[:-1] if plan.reverse else tensor[1:]
        width = call.padded(place.width)
        start = place.slot * width
        return tensor[..., start : start + call.width(place.width)].reshape(plan.steps * plan.batch, -1)


def _dense(blocks: Tensor, heads: int) -> Tensor:
    """Stacked blocks as the dense matrix whose diagonal they are."""
    if heads == 1:
        return blocks
    height, width = blocks.shape[0] // heads, blocks.shape[1]
    matrix = blocks.new_zeros(blocks.shape[0], heads * width)
    for h in range(heads):
        matrix[h * height : (h + 1) * height, h * width : (h + 1) * width] = blocks[h * height : (h + 1) * height]
    return matrix


def _diagonal(matrix: Tensor, heads: int) -> Tensor:
    """The blocks on the diagonal, stacked as the parameter keeps them."""
    if heads == 1:
        return matrix
    height, width = matrix.shape[0] // heads, matrix.shape[1] // heads
    return torch.cat([matrix[h * height : (h + 1) * height, h * width : (h + 1) * width] for h in range(heads)])
