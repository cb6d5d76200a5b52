"""The matrices of a call, packed into the panels that its kernel multiplies by."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from torch import Tensor

from unrolled.cell import Sizes
from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import Compiled, Pass, tools
from unrolled.engine.cpu.large import DTYPES, worth
from unrolled.engine.cpu.pack import ENTRY
from unrolled.engine.cpu.recipe import Recipe, recipe

SOURCE, TARGET = ENTRY.index("source"), ENTRY.index("target")
_TYPES = {name: dtype for dtype, name in DTYPES.items()}


def packed(code: Compiled, step: Pass, sizes: Sizes, source: Callable[[str], Tensor]) -> tuple[list[Tensor], list[int]]:
    """The panels (inner extent, vectors of a tile) of all groups, filled in one call, and the address of each group's.

    `source` gives the parameter of a name. What is returned first must outlive the addresses.
    """
    how = recipe(code, step, sizes)
    matrices = [source(name) for name in how.sources]
    panels = room.empty(how.elements, dtype=_TYPES[code.dtype])
    start, size = panels.data_ptr(), panels.element_size()
    addresses = [matrix.data_ptr() for matrix in matrices]
    entries = list(_entries(how, tuple(matrix.stride() for matrix in matrices), size))
    for at, owner in zip(range(0, len(entries), len(ENTRY)), how.owners, strict=True):
        entries[at + SOURCE] += addresses[owner]
        entries[at + TARGET] += start
    count, shares = len(how.parts), worth(how.elements)
    if count:
        team.run(tools(code.dtype).pack, [team.table((count, k, shares, *entries)) for k in range(shares)])
    return [panels, *matrices], [start + place * size for place in how.groups]


@lru_cache(maxsize=256)
def _entries(how: Recipe, strides: tuple[tuple[int, ...], ...], size: int) -> tuple[int, ...]:
    """The entries of `pack`, with addresses counted from where a parameter or the panels begin."""
    entries: list[int] = []
    for part, owner in zip(how.parts, how.owners, strict=True):
        per_row, per_column = strides[owner]
        steps = (per_column, per_row) if part.transposed else (per_row, per_column)
        entries += (part.row * per_row * size, *steps, part.units, part.inner, part.room, part.place * size, *part.rest)
    return tuple(entries)
