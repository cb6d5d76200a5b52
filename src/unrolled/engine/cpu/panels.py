"""The matrices of a call, packed into the panels that its kernel multiplies by."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from unrolled.cell import Sizes
from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import Compiled, Pass, tools
from unrolled.engine.cpu.large import DTYPES, worth
from unrolled.engine.cpu.recipe import recipe


def packed(code: Compiled, step: Pass, sizes: Sizes, source: Callable[[str], Tensor]) -> tuple[list[Tensor], list[int]]:
    """The panels (inner extent, vectors of a tile) of all groups, filled in one call, and the address of each group's.

    `source` gives the parameter of a name. What is returned first must outlive the addresses.
    """
    how = recipe(code, step, sizes)
    sources = {part.source: source(part.source) for part in how.parts}
    dtype = next(t for t, name in DTYPES.items() if name == code.dtype)
    panels = room.empty(how.elements, dtype=dtype)
    start, size = panels.data_ptr(), panels.element_size()
    entries: list[int] = []
    for part in how.parts:
        matrix = sources[part.source]
        per_row, per_column = matrix.stride()
        strides = (per_column, per_row) if part.transposed else (per_row, per_column)
        entries += (
            matrix.data_ptr() + part.row * per_row * size, *strides, part.units, part.inner, part.room,
            start + part.place * size, *part.rest,
        )  # fmt: skip
    count, shares = len(how.parts), worth(how.elements)
    if count:
        team.run(tools(code.dtype).pack, [team.table((count, k, shares, *entries)) for k in range(shares)])
    return [panels, *sources.values()], [start + place * size for place in how.groups]
