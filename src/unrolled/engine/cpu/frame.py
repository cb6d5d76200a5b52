"""What the tables of all calls of one shape have in common: everything but the addresses."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from unrolled.engine.cpu import team
from unrolled.engine.cpu.compiler import Pass
from unrolled.engine.cpu.kernel import HEADER
from unrolled.engine.cpu.rows import dense_starts
from unrolled.engine.cpu.schedule import Place

if TYPE_CHECKING:
    from unrolled.engine.cpu.call import Call

BARRIER, SIZE = HEADER.index("barrier"), len(HEADER)
# Buffers that the caller laid out, by any strides.
GIVEN = ("xs", "dy")


class Frame:
    """The tables of a pass, one for each share of the rows or units, with 0 for every address of a tensor.

    `shapes`: of every buffer. `totals`: names and widths of what is summed over all steps, a row for each table.
    """

    def __init__(self, call: Call, step: Pass, *, ascending: bool) -> None:
        plan, ragged = call.plan, call.ragged
        self.shapes = tuple(_shape(call, place) for place in step.places)
        self.given = [(place.buffer, SIZE + 3 * i) for i, place in enumerate(step.places) if place.buffer in GIVEN]
        vectors = call.program.vectors
        self.totals = {name: call.padded[vectors[name.removeprefix("p.")].size] for name in step.sums}
        self.end = SIZE + 3 * len(step.places)
        strides = [n for shape in self.shapes for n in (0, *_strides(shape))]
        # held here, because the tables know its address alone
        self.starts = dense_starts(plan.steps) if ragged is None else ragged.starts
        parts = [(first, last, 0, 1) for first, last in pairwise(call.bounds)]
        if call.units > 1:
            # the last is for a team that got fewer threads: all units, nobody to wait for
            parts = [(0, plan.batch, k, call.units) for k in range(call.units)] + parts
        self.tables = []
        for k, (first, last, share, shares) in enumerate(parts):
            own = (self.starts,) * 2 if ragged is None else self.starts[0 if call.units > 1 else k]
            lengths = 0 if ragged is None else ragged.lengths.data_ptr()
            header = [plan.steps, first, last, plan.sizes.input, plan.sizes.hidden, plan.sizes.output,
                      int(not ascending), int(plan.reverse), lengths, *(s.data_ptr() for s in own), share,
                      shares, 0, team.give_way()]  # fmt: skip
            self.tables.append(team.table(header + strides))

    def filled(
        self, buffers: Sequence[Tensor], matrices: Sequence[int], totals: Sequence[Tensor], barrier: Tensor | None
    ) -> list[array[int]]:
        """The tables with the addresses of what a call has."""
        addresses, panels = team.table([b.data_ptr() for b in buffers]), team.table(matrices)
        found = []
        for k, fixed in enumerate(self.tables):
            table = fixed[:]
            table[SIZE : self.end : 3] = addresses
            if barrier is not None and table[HEADER.index("shares")] > 1:
                table[BARRIER] = barrier.data_ptr()
            table += panels
            table.extend([total[k].data_ptr() for total in totals])
            found.append(table)
        return found


def _shape(call: Call, place: Place) -> tuple[int, ...]:
    """Of the buffer that a place is in."""
    if place.width == "input":
        return *call.steps, call.plan.sizes.input
    width = call.padded[place.width] * place.slots
    before: dict[str, tuple[int, ...]] = {
        "unit": (), "in": call.blocks, "out": call.blocks, "old": (2, call.plan.batch), "new": (2, call.plan.batch),
        "row": (call.plan.batch,), "mean": (call.plan.batch,), "t": call.steps,
    }  # fmt: skip
    return *before[place.when], call.code.lanes if place.when == "mean" else width


def _strides(shape: tuple[int, ...]) -> tuple[int, int]:
    """From a step to the next and from a row to the next, where everything lies side by side."""
    return (shape[1] * shape[2] if len(shape) > 2 else 0), (shape[-1] if len(shape) > 1 else 0)
