"""Where each matrix of a pass lies in its parameter, and where in the panels that the kernel multiplies by."""

from __future__ import annotations

from dataclasses import dataclass

from unrolled.cell import Program, Sizes
from unrolled.engine.cpu.compiler import Compiled, Pass
from unrolled.engine.cpu.joined import INPUT
from unrolled.engine.cpu.kernel import panel_blocks, whole_heads
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


@dataclass(frozen=True)
class Recipe:
    """How the matrices of a pass are packed: elements in all, where each group's panels begin, and the parts."""

    elements: int
    groups: tuple[int, ...]
    parts: tuple[Part, ...]


def recipe(code: Compiled, step: Pass, sizes: Sizes) -> Recipe:
    """How the matrices of a pass are packed for a layer of these sizes; worked out once."""
    found: Recipe | None = step.recipes.get(sizes)
    if found is None:
        found = step.recipes[sizes] = _recipe(code, step, sizes)
    return found


def _recipe(code: Compiled, step: Pass, sizes: Sizes) -> Recipe:
    total, places, parts = 0, [], []
    for stage, group in step.schedule.placed():
        blocks, lanes, results = panel_blocks(code.target, stage), code.lanes, len(group.results)
        shapes = [where(code.program, sizes, group, name) for name in group.names]
        heads = group.heads if whole_heads(code.target, lanes, stage, group, sizes.of(stage.width)) else 1
        if heads > 1:
            found, size = _of_heads(shapes, group, (blocks, lanes, results), total)
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
            place = total + (k * part * wide if group.transposed else k * lanes)
            rest = (depth * wide, wide, results * lanes, blocks, count)
            parts.append(Part(source, row, group.transposed, units, inner, part, place, rest))
        places.append(total)
        # whole cache lines
        total += -(-count * depth * wide // lanes) * lanes
    return Recipe(total, tuple(places), tuple(parts))


def _of_heads(
    shapes: list[tuple[str, int, int, int]], group: Group, tile: tuple[int, int, int], start: int
) -> tuple[list[Part], int]:
    """The parts of matrices that are blocks on a diagonal, without its zeros, and how many elements they take."""
    blocks, lanes, results = tile
    _, _, height, width = shapes[0]
    units, inner = height // group.heads, width // group.heads
    if group.transposed:
        units, inner = inner, units
    depth, wide = inner * (len(shapes) if group.transposed else 1), blocks * lanes * results
    panels = units // (blocks * lanes)
    rest = (depth * wide, wide, results * lanes, blocks, panels)
    parts = []
    for k, (_, row, _, _) in enumerate(shapes):
        for head in range(group.heads):
            place = start + head * panels * depth * wide + (k * inner * wide if group.transposed else k * lanes)
            first = row + head * (height // group.heads)
            parts.append(Part(BLOCKS, first, group.transposed, units, inner, inner, place, rest))
    return parts, group.heads * panels * depth * wide


def where(program: Program, sizes: Sizes, group: Group, name: str) -> tuple[str, int, int, int]:
    """The parameter that holds a matrix (to, from), its first row there, and its height and width."""
    if group.operand == INPUT:
        return "W", program.gates.index(name) * sizes.hidden, sizes.hidden, sizes.input
    if name in program.products:
        of, to = program.products[name]
        return f"products.{name}", 0, sizes.of(to), sizes.of(of)
    return "U", list(program.recurrent).index(name) * sizes.hidden, sizes.hidden, sizes.of(program.operand_width)
