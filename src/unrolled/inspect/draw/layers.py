"""A layered layout (Sugiyama et al. 1981): each part gets a layer from left to right and a row from top to bottom.

What is kept from one step to the next without passing a matrix runs straight along the top, as textbooks draw it. The
other rows are those with the fewest crossings and then the shortest lines that a search from several starts finds.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from unrolled.inspect.draw.diagram import Diagram

_STARTS, _SWEEPS = 8, 8
_CROSSING = 6.0


@dataclass
class Element:
    """A part in its layer, or a place where the line of `net` passes through one (then `part` is None)."""

    net: int
    layer: int
    part: int | None = None
    lane: int | None = None
    row: int = 0


@dataclass(frozen=True)
class Link:
    """A piece of a line between neighbouring layers, from one element to another."""

    left: int
    right: int
    net: int
    weight: float = 1.0


@dataclass
class Layout:
    """Elements with their rows, the links between them and the layers from left to right."""

    elements: list[Element] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    layers: list[list[int]] = field(default_factory=list)
    lanes: int = 0


def layered(diagram: Diagram) -> Layout:
    """Layers, lanes, order and rows of a cell's parts; the output is not in it, it leaves upwards from its source."""
    depth = _depths(diagram)
    layout = _expanded(diagram, depth, _lanes(diagram))
    _arrange(layout, diagram)
    return layout


def _depths(diagram: Diagram) -> list[int]:
    """The layer of each part: one more than that of the last part it reads; gates stand in line."""
    parts = diagram.parts
    joined = any(part.kind == "join" for part in parts)
    depth: dict[int, int] = {}

    def of(place: int) -> int:
        if place not in depth:
            part = parts[place]
            least = 0 if part.kind in ("state", "input") else 2 if part.kind == "gate" and joined else 1
            depth[place] = max([least, *(1 + of(source) for source in part.sources)])
        return depth[place]

    for place in range(len(parts)):
        of(place)
    for place, part in enumerate(parts):  # a parameter on its own stands beside what reads it
        if part.kind == "value" and not part.sources:
            depth[place] = max(1, min(depth[reader] for reader in diagram.readers[place]) - 1)
    last = max(d for place, d in depth.items() if parts[place].kind not in ("next", "output")) + 1
    return [last if part.kind in ("next", "output") else depth[place] for place, part in enumerate(parts)]


def _lanes(diagram: Diagram) -> dict[int, int]:
    """Part -> lane, for the states whose old value reaches the new one without a matrix; one lane each."""
    lanes: dict[int, int] = {}
    count = 0
    states = [place for place, part in enumerate(diagram.parts) if part.kind == "state"]
    for state in sorted(states, key=lambda place: place == states[0]):
        way = _way(diagram, state, set(lanes))
        if way:
            lanes |= dict.fromkeys(way, count)
            count += 1
    return lanes


def _way(diagram: Diagram, state: int, taken: set[int]) -> list[int]:
    """The parts on the shortest way of a state to its next value; a gate may only be its end, as in IndRNN."""
    goal = next(i for i, p in enumerate(diagram.parts) if p.kind == "next" and p.name == diagram.parts[state].name)
    before: dict[int, int] = {state: -1}
    open_ = deque([state])
    while open_:
        place = open_.popleft()
        if place == goal:
            way = []
            while place >= 0:
                way.append(place)
                place = before[place]
            return way[::-1]
        for reader in diagram.readers[place]:
            part = diagram.parts[reader]
            free = part.kind in ("operation", "value") or reader == goal
            if free and reader not in before and reader not in taken:
                before[reader] = place
                open_.append(reader)
    return []


def _expanded(diagram: Diagram, depth: Sequence[int], lanes: dict[int, int]) -> Layout:
    """Elements for the parts and for the lines that pass layers; one line serves all readers of a part."""
    layout = Layout(lanes=len(set(lanes.values())), layers=[[] for _ in range(max(depth) + 1)])

    def add(element: Element) -> int:
        layout.elements.append(element)
        layout.layers[element.layer].append(len(layout.elements) - 1)
        return len(layout.elements) - 1

    drawn = [place for place, part in enumerate(diagram.parts) if part.kind != "output"]
    element_of = {place: add(Element(place, depth[place], place, lanes.get(place))) for place in drawn}
    for place in drawn:
        readers = [r for r in diagram.readers[place] if r in element_of]
        leaves = any(diagram.parts[r].kind == "output" for r in diagram.readers[place])
        ends = [depth[r] for r in readers] + [len(layout.layers) - 1] * leaves
        on_lane = [r for r in readers if place in lanes and lanes.get(r) == lanes[place]]
        chain = element_of[place]
        for layer in range(depth[place] + 1, max(ends, default=0) + 1):
            for reader in (r for r in readers if depth[r] == layer):
                weight = 3.0 if reader in on_lane else 1.0
                layout.links.append(Link(chain, element_of[reader], place, weight))
            if layer < max(ends):
                keeps_lane = any(depth[r] > layer for r in on_lane)
                passing = add(Element(place, layer, lane=lanes[place] if keeps_lane else None))
                layout.links.append(Link(chain, passing, place, 2.0))
                chain = passing
    return layout


# ---- order and rows


def _arrange(layout: Layout, diagram: Diagram) -> None:
    """Set the row of every element."""
    chance = random.Random(0)  # noqa: S311  # the same picture every time
    pins = {i: _pin(e, diagram) for i, e in enumerate(layout.elements)}
    best: tuple[float, list[int], list[list[int]]] = math.inf, [], []
    for start in range(_STARTS):
        order = [list(layer) for layer in layout.layers]
        for layer in order:
            if start:
                chance.shuffle(layer)
            layer.sort(key=pins.__getitem__)
        _uncross(layout, order, pins)
        _place(layout, order)
        cost = _CROSSING * _crossings(layout, order) + _length(layout)
        if cost < best[0] - 1e-9:
            best = cost, [e.row for e in layout.elements], order
    for element, row in zip(layout.elements, best[1], strict=True):
        element.row = row
    _improve(layout, pins)
    _close(layout)
    layout.layers = [sorted(layer, key=lambda i: layout.elements[i].row) for layer in best[2]]


def _improve(layout: Layout, pins: dict[int, tuple[int, int]]) -> None:
    """Move parts, and lines that pass layers as a whole, to free rows while that makes the picture simpler."""
    blocks = [[i] for i, e in enumerate(layout.elements) if e.lane is None and pins[i] == (1, 0)]
    passing: dict[int, list[int]] = {}
    for i, e in enumerate(layout.elements):
        if e.part is None and e.lane is None:
            passing.setdefault(e.net, []).append(i)
    whole = [ids[a:b] for ids in passing.values() for a in range(len(ids)) for b in range(a + 2, len(ids) + 1)]
    blocks += [*whole, *([i] for i in pins if pins[i][0] == 1 and pins[i][1] > 0)]
    best, better = _cost(layout), True
    while better:
        better = False
        highest = max(e.row for e in layout.elements) + 1
        for block in blocks:
            old = [layout.elements[i].row for i in block]
            for row in range(layout.lanes, highest + 1):
                if not _free(layout, block, row, pins):
                    continue
                before = [layout.elements[i].row for i in block]
                for i in block:
                    layout.elements[i].row = row
                cost = _cost(layout)
                if cost < best - 1e-9:
                    best, better = cost, True
                    continue
                for i, row_before in zip(block, before, strict=True):
                    layout.elements[i].row = row_before
            better = better or old != [layout.elements[i].row for i in block]


def _free(layout: Layout, block: Sequence[int], row: int, pins: dict[int, tuple[int, int]]) -> bool:
    """Whether all of the block may stand in this row: nothing else does, and the input stays below the states."""
    for i in block:
        layer = layout.elements[i].layer
        for j in layout.layers[layer]:
            if j in block:
                continue
            other = layout.elements[j].row
            if other == row or ((pins[i] < pins[j]) != (row < other) and layer == 0):
                return False
    return True


def _close(layout: Layout) -> None:
    """Leave out rows where nothing stands."""
    used = sorted({e.row for e in layout.elements})
    for element in layout.elements:
        element.row = used.index(element.row)


def _cost(layout: Layout) -> float:
    """Crossings, bends and lengths of the rows as they are."""
    rows = [e.row for e in layout.elements]
    pieces: list[list[tuple[int, int, int]]] = [[] for _ in layout.layers]
    bends = 0.0
    for link in layout.links:
        a, b = rows[link.left], rows[link.right]
        pieces[layout.elements[link.left].layer].append((a, b, link.net))
        bends += (a != b) * (2.0 if layout.elements[link.right].part is None else 1.0)
    # Two lines that change rows with each other would lie on one another whichever turns first.
    crossings = sum(
        ((a - c) * (b - d) < 0 and net != other) + (4 if a == d != b == c else 0)
        for found in pieces
        for k, (a, b, net) in enumerate(found)
        for c, d, other in found[:k]
    )
    return _CROSSING * crossings + bends + 0.5 * _length(layout)


def _pin(element: Element, diagram: Diagram) -> tuple[int, int]:
    """What an element's place in its layer must respect: lanes on top, the input below the states."""
    if element.lane is not None:
        return 0, element.lane
    if element.part is not None and diagram.parts[element.part].kind in ("state", "input"):
        return 1, 1 + (diagram.parts[element.part].kind == "input")
    return 1, 0


def _uncross(layout: Layout, order: list[list[int]], pins: dict[int, tuple[int, int]]) -> None:
    """Sort each layer by the middle of its neighbours, to and fro, then swap neighbours while that helps."""
    near: list[list[list[int]]] = [[[] for _ in layout.elements] for _ in range(2)]
    for link in layout.links:
        near[0][link.right].append(link.left)
        near[1][link.left].append(link.right)
    for sweep in range(_SWEEPS):
        side = sweep % 2
        for layer in order if side == 0 else reversed(order):
            place = {i: k for other in order for k, i in enumerate(other)}
            middle = {i: _mean([place[j] for j in near[side][i]], place[i]) for i in layer}
            layer.sort(key=lambda i, middle=middle: (pins[i], middle[i]))  # type: ignore[misc]
    _swap(layout, order, pins)


def _swap(layout: Layout, order: list[list[int]], pins: dict[int, tuple[int, int]]) -> None:
    best, better = _crossings(layout, order), True
    while better:
        better = False
        for layer in order:
            for k in range(len(layer) - 1):
                if pins[layer[k]] != pins[layer[k + 1]]:
                    continue
                layer[k], layer[k + 1] = layer[k + 1], layer[k]
                now = _crossings(layout, order)
                if now < best:
                    best, better = now, True
                else:
                    layer[k], layer[k + 1] = layer[k + 1], layer[k]


def _crossings(layout: Layout, order: list[list[int]]) -> int:
    """Pairs of lines that cross between two layers."""
    place = {i: k for layer in order for k, i in enumerate(layer)}
    ends: dict[int, list[tuple[int, int, int]]] = {}
    for link in layout.links:
        ends.setdefault(layout.elements[link.left].layer, []).append((place[link.left], place[link.right], link.net))
    count = 0
    for pieces in ends.values():
        for k, (a, b, net) in enumerate(pieces):
            count += sum((a - c) * (b - d) < 0 and net != other for c, d, other in pieces[:k])
    return count


def _place(layout: Layout, order: list[list[int]]) -> None:
    """Rows that keep the order and make lines short: each layer in turn is the best for its neighbours' rows."""
    elements = layout.elements
    near: list[list[tuple[int, float]]] = [[] for _ in elements]
    for link in layout.links:
        passing = elements[link.left].part is None or elements[link.right].part is None
        weight = link.weight * (2.0 if passing else 1.0)
        near[link.left].append((link.right, weight))
        near[link.right].append((link.left, weight))
    for layer in order:
        for k, i in enumerate(free := [i for i in layer if elements[i].lane is None]):
            elements[i].row = layout.lanes + k
        for i in set(layer) - set(free):
            elements[i].row = elements[i].lane or 0
    for sweep in range(_SWEEPS):
        for layer in order if sweep % 2 == 0 else reversed(order):
            free = [i for i in layer if elements[i].lane is None]
            wanted = []
            for k, i in enumerate(free):
                pulls = [(elements[j].row - k, w) for j, w in near[i]] or [(elements[i].row - k, 1.0)]
                wanted.append(pulls)
            for k, (i, row) in enumerate(zip(free, ascending(wanted, layout.lanes), strict=True)):
                elements[i].row = row + k


def ascending(pulls: Sequence[Sequence[tuple[int, float]]], least: int) -> list[int]:
    """Numbers z_1 <= z_2 <= ..., none below `least`, with the least sum of weight |z_k - value| over all pulls."""
    blocks: list[tuple[list[tuple[int, float]], int]] = []
    for pull in pulls:
        blocks.append((list(pull), 1))
        while len(blocks) > 1 and _median(blocks[-2][0]) > _median(blocks[-1][0]):
            last, count = blocks.pop()
            blocks[-1] = blocks[-1][0] + last, blocks[-1][1] + count
    return [max(least, _median(values)) for values, count in blocks for _ in range(count)]


def _median(values: Sequence[tuple[int, float]]) -> int:
    half, total = sum(weight for _, weight in values) / 2, 0.0
    ordered = sorted(values)
    for value, weight in ordered:
        total += weight
        if total >= half:
            return value
    return ordered[-1][0]


def _length(layout: Layout) -> float:
    bends = sum(
        link.weight * abs(layout.elements[link.left].row - layout.elements[link.right].row) for link in layout.links
    )
    rows = [e.row for e in layout.elements]
    gaps = sum(max(0, b - a - 1) for a, b in pairwise(sorted(set(rows))))
    return bends + gaps + 0.5 * max(rows)


def _mean(places: Sequence[int], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise
