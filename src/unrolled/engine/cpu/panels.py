"""The matrices of a call, packed into the panels that its kernel multiplies by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from unrolled.cell import Program, Sizes
from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import Compiled, Pass, tools
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import panel_blocks
from unrolled.engine.cpu.large import DTYPES, worth
from unrolled.engine.cpu.schedule import Group


@dataclass(frozen=True)
class Part:
    """One matrix: `source` rows from `row` on, transposed or not, to the element `place` of all panels; see `pack`."""

    source: str
    row: int
    transposed: bool
    units: int
    inner: int
    room: int
    place: int
    rest: tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Recipe:
    """How the matrices of a pass are packed: elements in all, where each group's panels begin, and the parts."""

    elements: int
    groups: tuple[int, ...]
    parts: tuple[Part, ...]


def packed(code: Compiled, step: Pass, sizes: Sizes, source: Callable[[str], Tensor]) -> tuple[list[Tensor], list[int]]:
    """The panels (inner extent, vectors of a tile) of all groups, filled in one call, and the address of each group's.

    `source` gives the parameter of a name. What is returned first must outlive the addresses.
    """
    recipe = step.recipes.get(sizes)
    if recipe is None:
        recipe = step.recipes[sizes] = _recipe(code, step, sizes)
    sources = {part.source: source(part.source) for part in recipe.parts}
    dtype = next(t for t, name in DTYPES.items() if name == code.dtype)
    panels = room.empty(recipe.elements, dtype=dtype)
    start, size = panels.data_ptr(), panels.element_size()
    entries: list[int] = []
    for part in recipe.parts:
        matrix = sources[part.source]
        per_row, per_column = matrix.stride()
        strides = (per_column, per_row) if part.transposed else (per_row, per_column)
        entries += (
            matrix.data_ptr() + part.row * per_row * size, *strides, part.units, part.inner, part.room,
            start + part.place * size, *part.rest,
        )  # fmt: skip
    count, shares = len(recipe.parts), worth(recipe.elements)
    if count:
        team.run(tools(code.dtype).pack, [team.table((count, k, shares, *entries)) for k in range(shares)])
    return [panels, *sources.values()], [start + place * size for place in recipe.groups]


def _recipe(code: Compiled, step: Pass, sizes: Sizes) -> Recipe:
    total, places, parts = 0, [], []
    for stage, group in step.schedule.placed():
        blocks, lanes, results = panel_blocks(code.target, stage), code.lanes, len(group.results)
        shapes = [where(code.program, sizes, group, name) for name in group.names]
        # transposed matrices follow each other along the inner extent, others stand side by side
        _, _, height, width = shapes[0]
        units, inner = (width, height) if group.transposed else (height, width)
        part = -(-sizes.of(group.depth[1]) // lanes) * lanes if group.transposed else inner
        depth, wide = part * len(shapes) if group.transposed else part, blocks * lanes * results
        count = -(-units // (blocks * lanes))
        for k, (source, row, _, _) in enumerate(shapes):
            place = total + (k * part * wide if group.transposed else k * lanes)
            rest = (depth * wide, wide, results * lanes, blocks, count)
            parts.append(Part(source, row, group.transposed, units, inner, part, place, rest))
        places.append(total)
        # whole cache lines
        total += -(-count * depth * wide // lanes) * lanes
    return Recipe(total, tuple(places), tuple(parts))


def where(program: Program, sizes: Sizes, group: Group, name: str) -> tuple[str, int, int, int]:
    """The parameter that holds a matrix (to, from), its first row there, and its height and width."""
    if group.operand == INPUT:
        return "W", program.gates.index(name) * sizes.hidden, sizes.hidden, sizes.input
    if name in program.products:
        of, to = program.products[name]
        return f"products.{name}", 0, sizes.of(to), sizes.of(of)
    return "U", list(program.recurrent).index(name) * sizes.hidden, sizes.hidden, sizes.of(program.operand_width)
