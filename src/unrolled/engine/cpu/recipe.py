"""Where each matrix of a pass lies in its parameter, and where in the panels that the kernel multiplies by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from unrolled.cell import Program, Sizes
from unrolled.engine.cpu.compiler import Compiled, Pass
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import panel_blocks, strips, whole_heads
from unrolled.engine.cpu.schedule import Group

# U as its parameter has it, blocks one above the other; "U" is the dense matrix that has them on its diagonal.
BLOCKS = "blocks of U"


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


# One object a layer size: looked up by identity, not by comparing all its parts.
@dataclass(frozen=True, eq=False)
class Recipe:
    """How the matrices of a pass are packed: elements in all, where each group's panels begin, and the parts."""

    elements: int
    groups: tuple[int, ...]
    parts: tuple[Part, ...]

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The parameters that the matrices are in."""
        return tuple(dict.fromkeys(part.source for part in self.parts))

    @cached_property
    def owners(self) -> tuple[int, ...]:
        """For each part, the place of its parameter in `sources`."""
        return tuple(self.sources.index(part.source) for part in self.parts)


def recipe(code: Compiled, step: Pass, sizes: Sizes) -> Recipe:
    """How the matrices of a pass are packed for a layer of these sizes; worked out once."""
    found: Recipe | None = step.recipes.get(sizes)
    if found is None:
        found = step.recipes[sizes] = _recipe(code, step, sizes)
    return found


def _recipe(code: Compiled, step: Pass, sizes: Sizes) -> Recipe:
    total, places, parts = 0, [], []
    for stage, group in step.schedule.placed():
        tile, lanes = (panel_blocks(code.target, stage), len(group.results)), code.lanes
        blocks, results = tile
        shapes = [where(code.program, sizes, group, name) for name in group.names]
        heads = group.heads if whole_heads(code.target, lanes, stage, group, sizes.of(stage.width)) else 1
        if heads > 1:
            found, size = _of_heads(code, shapes, group, tile, total)
            parts += found
            places.append(total)
            total += -(-size // lanes) * lanes
            continue
        # transposed matrices follow each other along the inner extent, others stand side by side
        _, _, height, width = shapes[0]
        units, inner = (width, height) if group.transposed else (height, width)
        part = -(-sizes.of(group.depth[1]) // lanes) * lanes if group.transposed else inner
        depth, wide = part * len(shapes) if group.transposed else part, blocks * lanes * results
        count = -(-units // (blocks * lanes))
        for k, (source, row, _, _) in enumerate(shapes):
            place, along, across = (k * part * wide, wide, lanes) if group.transposed else _column(code, k, tile, depth)
            rest = (depth * wide, along, across, blocks, count)
            parts.append(Part(source, row, group.transposed, units, inner, part, total + place, rest))
        places.append(total)
        # whole cache lines
        total += -(-count * depth * wide // lanes) * lanes
    return Recipe(total, tuple(places), tuple(parts))


def _column(code: Compiled, k: int, tile: tuple[int, int], depth: int) -> tuple[int, int, int]:
    """Where the k-th matrix's vectors of a panel begin, how far apart they are, and those of its next block of units.

    `tile`: blocks, and matrices of each side by side. Several blocks are more than a strip only where there are two of
    them, so the way from one to the next is the same for all.
    """
    blocks, results = tile

    def place(vector: int) -> tuple[int, int]:
        first, size = next(s for s in reversed(strips(code.target, blocks * results)) if s[0] <= vector)
        return (first * depth + vector - first) * code.lanes, size * code.lanes

    start, step = place(k)
    return start, step, place(k + results)[0] - start if blocks > 1 else 0


def _of_heads(
    code: Compiled, shapes: list[tuple[str, int, int, int]], group: Group, tile: tuple[int, int], start: int
) -> tuple[list[Part], int]:
    """The parts of matrices that are blocks on a diagonal, without its zeros, and how many elements they take."""
    (blocks, results), lanes = tile, code.lanes
    _, _, height, width = shapes[0]
    units, inner = height // group.heads, width // group.heads
    if group.transposed:
        units, inner = inner, units
    depth, wide = inner * (len(shapes) if group.transposed else 1), blocks * lanes * results
    panels = units // (blocks * lanes)
    parts = []
    for k, (_, row, _, _) in enumerate(shapes):
        place, along, across = (k * inner * wide, wide, lanes) if group.transposed else _column(code, k, tile, depth)
        rest = (depth * wide, along, across, blocks, panels)
        for head in range(group.heads):
            first = row + head * (height // group.heads)
            begin = start + head * panels * depth * wide + place
            parts.append(Part(BLOCKS, first, group.transposed, units, inner, inner, begin, rest))
    return parts, group.heads * panels * depth * wide


def where(program: Program, sizes: Sizes, group: Group, name: str) -> tuple[str, int, int, int]:
    """The parameter that holds a matrix (to, from), its first row there, and its height and width."""
    if group.operand == INPUT:
        return "W", program.gates.index(name) * sizes.hidden, sizes.hidden, sizes.input
    if name in program.products:
        of, to = program.products[name]
        return f"products.{name}", 0, sizes.of(to), sizes.of(of)
    return "U", list(program.recurrent).index(name) * sizes.hidden, sizes.hidden, sizes.of(program.operand_width)
