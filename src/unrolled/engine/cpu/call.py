"""What one call of the kernels needs beside its tensors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unrolled.cell import Program
from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import Compiled, Pass
from unrolled.engine.cpu.frame import Frame
from unrolled.engine.cpu.large import worth
from unrolled.engine.cpu.rows import Ragged, packed_rows, shared
from unrolled.engine.plan import Plan

if TYPE_CHECKING:
    from unrolled.engine.cpu.lesson import Lesson

# Elements of the recurrent matrices from which on threads gain more by a share of them than they wait for each other,
# and for how many rows a thread: the less of them a core's own cache holds, the more rows a share helps.
WORTH_A_BARRIER = {8_000: 1, 100_000: 2, 2_000_000: 8}
# Up to here, packing the matrices costs more than reading them as they lie.
FEW_ROWS, FEW_STEPS = 2, 16
# Rows of a thread from which on W x_t is multiplied in its step: storing it costs more then than reading W in each.
MANY_ROWS = 8


def planned(
    plan: Plan, program: Program, code: Compiled, lengths: Tensor | None, noise: dict[str, Tensor],
    names: tuple[str, ...], ids: Tensor | None = None,
) -> Call:  # fmt: skip
    """The call of a plan; where nothing in it belongs to one call alone, the same as for an earlier equal plan.

    `ids`: the input is a table, and these are the rows (B, T) of it that each row of the batch reads.
    """
    if lengths is None and not noise and ids is None:
        return _dense(plan, program, code, names, torch.get_num_threads(), team.together() is not None)
    return Call(plan, program, code, lengths, noise, names, ids)


@lru_cache(maxsize=1024)
def _dense(plan: Plan, program: Program, code: Compiled, names: tuple[str, ...], threads: int, together: bool) -> Call:
    """Threads and team are looked up by the call itself; here they tell calls apart."""
    return Call(plan, program, code, None, {}, names)


class Call:
    """A plan with its kernels: `bounds` share the rows out, or `units` of several share the units of all rows out."""

    def __init__(
        self, plan: Plan, program: Program, code: Compiled, lengths: Tensor | None, noise: dict[str, Tensor],
        names: tuple[str, ...], ids: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.plan, self.program, self.code, self.lengths = plan, program, code, lengths
        self.noise, self.names = noise, names
        rows, sizes, lanes = plan.batch, plan.sizes, code.lanes
        self.sizes = sizes
        self.widths = {"hidden": sizes.hidden, "output": sizes.output}
        self.padded = {name: -(-size // lanes) * lanes for name, size in self.widths.items()}
        self.units, shares = 1, 1 if torch.get_num_threads() == 1 else worth(self._work())
        if shares > 1 and self._worth_sharing_units(rows, shares):
            self.units, shares = shares, 1
        shares = min(max(1, rows), shares)
        self.lesson: Lesson | None = None
        self._frames: dict[tuple[Pass, bool], Frame] = {}
        self.ragged: Ragged | None = None
        if lengths is None:
            self.bounds = shared(rows, shares)
        else:
            self.bounds, self.ragged = packed_rows(lengths.cpu(), plan.steps, shares, reverse=plan.reverse)
        self.tokens = ids
        self.table_rows = None if ids is None else self.pack(ids.t().unsqueeze(-1)).reshape(-1)

    def _work(self) -> int:
        each = len(self.program.recurrent) * self.plan.sizes.output + 4 * len(self.program.nodes)
        return self.plan.batch * self.plan.steps * self.plan.sizes.hidden * each

    def _worth_sharing_units(self, rows: int, threads: int) -> bool:
        """Where so few rows are left to each thread that reading the matrices costs more than multiplying by them."""
        elements = self.plan.sizes.hidden * self.plan.sizes.output * len(self.program.recurrent)
        most = max((each for size, each in WORTH_A_BARRIER.items() if elements >= size), default=0)
        return rows <= most * threads and not self.code.whole_rows and team.together() is not None

    def forward(self, *, train: bool) -> Pass:
        """The pass that this call runs: W x_t of all steps in one product beforehand, or of each step where it counts.

        Beforehand, rows of W are read once for all steps; in the step, W x is never stored.
        """
        plan, code = self.plan, self.code
        many = self.units == 1 and self.bounds[1] >= MANY_ROWS and plan.has_input and self.tokens is None
        joined = code.joined_train if train else code.joined
        if many and joined is not None:
            return joined
        if train:
            return code.train
        few = self.tokens is None and plan.batch <= FEW_ROWS and plan.steps <= FEW_STEPS and self.program.heads == 1
        return code.direct if few else code.infer

    def frame(self, step: Pass, *, ascending: bool) -> Frame:
        """The tables of a pass but for their addresses, worked out once."""
        found = self._frames.get((step, ascending))
        if found is None:
            found = self._frames[step, ascending] = Frame(self, step, ascending=ascending)
        return found

    def sort(self, value: Tensor) -> Tensor:
        """Rows (B, n) in the kernel's order."""
        return value if self.ragged is None else value.index_select(0, self.ragged.order)

    def unsort(self, value: Tensor) -> Tensor:
        """Rows (B, n) in the caller's order."""
        return value if self.ragged is None else value.index_select(0, self.ragged.back)

    def pack(self, value: Tensor) -> Tensor:
        """(T, B, n) as the kernel reads it: packed (N, n) where rows have unlike lengths."""
        if self.ragged is None:
            return value
        batch_first = value.transpose(0, 1)
        if batch_first.is_contiguous():
            return _rows_of(batch_first.flatten(0, 1), self.ragged.batch_major)
        return _rows_of(value.flatten(0, 1), self.ragged.time_major)

    def unpacked(self, value: Tensor, places: Tensor) -> Tensor:
        """Rows of `value` at the places (B * T,), as (T, B, n)."""
        return _rows_of(value, places).view(self.plan.batch, self.plan.steps, -1).transpose(0, 1)

    @property
    def steps(self) -> tuple[int, ...]:
        """Shape of what there is one of for each step of each row."""
        return (self.plan.steps, self.plan.batch) if self.ragged is None else (self.ragged.count,)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Shape of a state's values: one more than there are steps, for each row; packed, with a row behind them."""
        if self.ragged is None:
            return self.plan.steps + 1, self.plan.batch
        return (self.ragged.count + self.plan.batch + 1,)


def _rows_of(value: Tensor, places: Tensor) -> Tensor:
    return torch.index_select(value, 0, places, out=room.empty(len(places), value.shape[1], dtype=value.dtype))
