"""The matrices of a call, packed into the panels that its kernel multiplies by."""

from __future__ import annotations

from array import array
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


class Panels:
    """The panels (inner extent, vectors of a tile) of all groups of a pass; `places`: the address of each group's.

    `source` gives the parameter of a name. The addresses are good as long as this lives.
    """

    def __init__(self, code: Compiled, step: Pass, sizes: Sizes, source: Callable[[str], Tensor]) -> None:
        how = recipe(code, step, sizes)
        self.matrices = [source(name) for name in how.sources]
        self.panels = room.empty(how.elements, dtype=_TYPES[code.dtype])
        start, size = self.panels.data_ptr(), self.panels.element_size()
        addresses = [matrix.data_ptr() for matrix in self.matrices]
        table = _table(how, tuple([matrix.stride() for matrix in self.matrices]), size)[:]
        for at, owner in zip(range(3, len(table), len(ENTRY)), how.owners, strict=True):
            table[at + SOURCE] += addresses[owner]
            table[at + TARGET] += start
        shares = worth(how.elements)
        self.tables = [table] + [table[:] for _ in range(shares - 1)]
        for k, share in enumerate(self.tables):
            share[1], share[2] = k, shares
        self.function = tools(code.dtype).pack if how.parts else None
        self.places = [start + place * size for place in how.groups]

    def fill(self) -> None:
        """From what the parameters are now."""
        if self.function is not None:
            team.run(self.function, self.tables)


@lru_cache(maxsize=256)
def _table(how: Recipe, strides: tuple[tuple[int, ...], ...], size: int) -> array[int]:
    """What `pack` takes for all panels, with addresses counted from where a parameter or the panels begin."""
    entries = [len(how.parts), 0, 1]
    for part, owner in zip(how.parts, how.owners, strict=True):
        per_row, per_column = strides[owner]
        steps = (per_column, per_row) if part.transposed else (per_row, per_column)
        entries += (part.row * per_row * size, *steps, part.units, part.inner, part.room, part.place * size, *part.rest)
    return team.table(entries)
