"""The inside of a cell: its gates and operations between the states of one step and the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt

from unrolled.cell import Program
from unrolled.inspect.draw.diagram import Diagram, Part, diagram
from unrolled.inspect.draw.label import said, text, width
from unrolled.inspect.draw.layers import Element, Layout, layered
from unrolled.inspect.draw.picture import Box, Line, Picture, Point, Text
from unrolled.inspect.draw.wiring import Net, tracks

ROW, TRACK, GAP, STUB, PAD = 54.0, 11.0, 15.0, 26.0, 20.0
_SYMBOL, _NAME, _SMALL, _ROUND = 14.0, 11.0, 11.0, 12.5
_LOOKS = {"gate": "learnt", "function": "function", "operation": "operation", "value": "value"}
_LEGEND = (("learnt", "learnt matrices"), ("function", "function"), ("operation", "unit by unit"),
           ("value", "learnt for each unit, or a number"))  # fmt: skip


def cell_picture(program: Program) -> Picture:
    """One step of a cell, from the states on the left to those on the right; the input comes from below."""
    drawing = _Drawing(diagram(program))
    drawing.measure()
    drawing.wires()
    drawing.boxes()
    drawing.surroundings()
    return drawing.picture.fit()


def size_of(part: Part) -> tuple[float, float]:
    """Width and height of a part's box."""
    if part.kind == "join":
        return 7.0, 7.0
    if part.kind not in _LOOKS:
        return 0.0, 0.0
    words = width(part.label, _SYMBOL if part.kind in ("gate", "function") else _SMALL + 1)
    if part.kind == "operation" and words < 17:
        return 25.0, 25.0
    if part.kind in ("operation", "value"):
        return words + 16, {0: 24.0, 1: 24.0, 2: 34.0}.get(len(set(part.marks)), 50.0)
    return max(40.0, words + 18, width(text(part.name, italic=True), _NAME) + 14), 38.0 if part.name else 32.0


@dataclass
class _Drawing:
    diagram: Diagram
    layout: Layout = field(init=False)
    picture: Picture = field(init=False)
    middle: list[float] = field(default_factory=list)
    ports: dict[tuple[int, int], float] = field(default_factory=dict)
    upright: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.layout = layered(self.diagram)
        name = self.diagram.program.name
        states = ", ".join(self.diagram.program.state)
        self.picture = Picture(f"Inside {name}", f"One step of {name}, from {states} of the step before to the next.")
        self.output = next(i for i, part in enumerate(self.diagram.parts) if part.kind == "output")

    # ---- where everything stands

    def measure(self) -> None:
        """Ports of all parts, then the middle of each layer, with room between them for the lines that bend."""
        for i, element in enumerate(self.layout.elements):
            self._enter(i, element)
        self.nets = [self._nets(k) for k in range(len(self.layout.layers) - 1)]
        self.tracks = [tracks([net for _, net in found]) for found in self.nets]
        wide = [max(self._size(i)[0] for i in layer) for layer in self.layout.layers]
        self.middle = [wide[0] / 2]
        for k, (left, right) in enumerate(pairwise(wide)):
            bends = sum(track is not None for track in self.tracks[k])
            marked = 8.0 * any(self._marked(i) for i in self.layout.layers[k + 1])
            self.middle.append(self.middle[-1] + left / 2 + 2 * GAP + TRACK * max(0, bends - 1) + marked + right / 2)
        self.wide = wide

    def _part(self, i: int) -> Part | None:
        place = self.layout.elements[i].part
        return None if place is None else self.diagram.parts[place]

    def _marked(self, i: int) -> bool:
        part = self._part(i)
        return part is not None and any(part.marks)

    def _size(self, i: int) -> tuple[float, float]:
        part = self._part(i)
        return (0.0, 0.0) if part is None else size_of(part)

    def _y(self, i: int) -> float:
        return self.layout.elements[i].row * ROW

    def _x(self, i: int) -> float:
        return self.middle[self.layout.elements[i].layer]

    def _enter(self, i: int, element: Element) -> None:
        """Where each line enters a part: from the side, or into an operation from above or below if there is room."""
        links = [link for link in self.layout.links if link.right == i]
        rows = {link.left: self.layout.elements[link.left].row for link in links}
        part = self._part(i)
        side = []
        for link in sorted(links, key=lambda link: rows[link.left]):
            direction = (rows[link.left] > element.row) - (rows[link.left] < element.row)
            used = {(rows[a] > element.row) - (rows[a] < element.row) for a, b in self.upright if b == i}
            free = direction and direction not in used and len(links) > 1
            if part and part.kind == "operation" and free and self._clear(element, rows[link.left]):
                self.upright.add((link.left, i))
            else:
                side.append(link.left)
        most = 14.0 if part and any(part.marks) else 8.0
        step = min(most, 0.56 * self._size(i)[1] / max(1, len(side) - 1)) if part and part.kind != "join" else 0.0
        level = [k for k, left in enumerate(side) if rows[left] == element.row]
        above = sum(rows[left] < element.row for left in side)
        zero = level[0] if level else (len(side) - 1) / 2 if 0 < above < len(side) else above - 1 if above else 0
        for k, left in enumerate(side):
            self.ports[left, i] = self._y(i) + step * (k - zero)

    def _clear(self, element: Element, row: int) -> bool:
        """Whether nothing stands in the element's layer from this row up to it."""
        low, high = sorted((row, element.row))
        rows = {self.layout.elements[j].row for j in self.layout.layers[element.layer]} - {element.row}
        return not any(low <= other <= high for other in rows)

    def _nets(self, layer: int) -> list[tuple[int, Net]]:
        """The lines between this layer and the next, by the element that they leave."""
        nets: dict[int, Net] = {}
        for link in self.layout.links:
            if self.layout.elements[link.left].layer == layer:
                net = nets.setdefault(link.left, Net(self._y(link.left)))
                net.ends.append(self.ports.get((link.left, link.right), self._y(link.left)))
        if layer == len(self.layout.layers) - 2:
            source = self._leaver()
            nets.setdefault(source, Net(self._y(source))).ends.append(-ROW)
        return list(nets.items())

    def _leaver(self) -> int:
        """The element before the last layer whose value is the output."""
        (source,) = self.diagram.parts[self.output].sources
        return next(i for i in self.layout.layers[-2] if self.layout.elements[i].net == source)

    # ---- drawing

    def wires(self) -> None:
        """All lines, each from the element it leaves to the one it enters."""
        for k, found in enumerate(self.nets):
            for (left, _), track in zip(found, self.tracks[k], strict=True):
                at = 0.0 if track is None else self.middle[k] + self.wide[k] / 2 + GAP + TRACK * track
                for link in self.layout.links:
                    if link.left == left:
                        self._wire(left, link.right, at)
                if k == len(self.nets) - 1 and left == self._leaver():
                    self._leave(left, at)
        self.picture.items.sort(key=lambda item: isinstance(item, Line) and item.part == "state")

    def _wire(self, left: int, right: int, track: float) -> None:
        part = self._part(right)
        start = (self._x(left) + self._size(left)[0] / 2, self._y(left))
        enters = part is not None and part.kind in _LOOKS
        edge = self._x(right) - self._size(right)[0] / 2 + self._inset(left, right)
        if (left, right) in self.upright:
            half = self._size(right)[1] / 2
            end = (self._x(right), self._y(right) + (half if start[1] > self._y(right) else -half))
            points: list[Point] = [start, (end[0], start[1]), end]
        else:
            port = self.ports[left, right]
            turn = [(track, start[1]), (track, port)] if abs(port - start[1]) > 0.1 else []
            points = [start, *turn, (edge, port)]
        self._mark(left, right, points)
        self.picture.items.append(Line(tuple(points), self._line(left, right), arrow=enters))

    def _inset(self, left: int, right: int) -> float:
        """How far a round border stands back at the height where a line enters."""
        part, half = self._part(right), self._size(right)[1] / 2
        if part is None or part.kind not in ("operation", "value") or (left, right) in self.upright:
            return 0.0
        beyond = abs(self.ports[left, right] - self._y(right)) - max(0.0, half - _ROUND)
        radius = min(half, _ROUND)
        return radius - sqrt(radius**2 - beyond**2) if 0 < beyond < radius else 0.0

    def _mark(self, left: int, right: int, points: list[Point]) -> None:
        """Say which operand a line is, where their order matters."""
        part, source = self._part(right), self.layout.elements[left].net
        if part is None or source not in part.sources or not part.marks[part.sources.index(source)]:
            return
        (x, y), (before, _) = points[-1], points[-2]
        level = abs(before - x) > 0.1
        below = y > self._y(right) + 0.1 if level else points[-2][1] > y
        place = (x - 13, y + (8 if below else -8)) if level else (x + 8, y + (12 if below else -12))
        mark = text(part.marks[part.sources.index(source)], italic=True)
        self.picture.items.append(Text(*place, mark, 10.0, part="muted"))

    def _line(self, left: int, right: int) -> str:
        a, b = self.layout.elements[left], self.layout.elements[right]
        if a.lane is not None and a.lane == b.lane:
            return "state"
        if any(e.net == a.net and e.lane is not None for e in self.layout.elements):
            return "wire"
        return {"input": "input", "state": "message"}.get(self.diagram.parts[a.net].kind, "wire")

    def _leave(self, left: int, track: float) -> None:
        """The output's line goes up, out of the cell."""
        start = (self._x(left) + self._size(left)[0] / 2, self._y(left))
        self.picture.items.append(Line((start, (track, start[1]), (track, -ROW)), "wire", arrow=True))
        self.picture.items.append(Text(track, -ROW - 12, self.diagram.parts[self.output].label, 15.0))

    def boxes(self) -> None:
        """All parts with their labels."""
        for i, element in enumerate(self.layout.elements):
            part = self._part(i)
            if element.part is None or part is None:
                continue
            x, y, (wide, high) = self._x(i), self._y(i), self._size(i)
            if part.kind == "join":
                self.picture.items.append(Box(x - wide / 2, y - high / 2, wide, high, "ink", wide / 2, part.title))
            elif part.kind in _LOOKS:
                self._box(part, x, y, wide, high)

    def _box(self, part: Part, x: float, y: float, wide: float, high: float) -> None:
        radius = min(high / 2, _ROUND) if part.kind in ("operation", "value") else 6.0
        title = part.title or said(part.label)
        box = Box(x - wide / 2, y - high / 2, wide, high, _LOOKS[part.kind], radius, title)
        size = _SYMBOL if part.kind in ("gate", "function") else 15.0 if wide == 25.0 else _SMALL
        self.picture.items.append(box)
        named = bool(part.name) and part.kind in ("gate", "function")
        self.picture.items.append(Text(x, y + (7 if named else 0), part.label, size))
        if named:
            self.picture.items.append(Text(x, y - 9, text(part.name, italic=True, bold=True), _NAME))

    def surroundings(self) -> None:
        """The cell's border, what comes in, what goes out, and the legend."""
        rows = [element.row for element in self.layout.elements]
        left, right = -PAD, self.middle[-1]
        top, bottom = min(rows) * ROW - ROW / 2 - 6, max(rows) * ROW + ROW / 2 + 6
        frame = Box(left, top, right - left, bottom - top, "frame", 14.0)
        self.picture.items.insert(0, frame)
        for i in self.layout.layers[0]:
            self._come(i, left, bottom)
        for i in self.layout.layers[-1]:
            part = self._part(i)
            if part is not None and part.kind == "next":
                look = "state" if self.layout.elements[i].lane is not None else "wire"
                ends = ((right, self._y(i)), (right + STUB, self._y(i)))
                self.picture.items.append(Line(ends, look, arrow=True))
                self.picture.items.append(Text(right + STUB + 6, self._y(i), part.label, 15.0, "start"))
        self.picture.items.append(Text(left, top - 16, text(self.diagram.program.name, bold=True), 15.0, "start"))
        self._legend(left, bottom + 58)

    def _come(self, i: int, left: float, bottom: float) -> None:
        part = self._part(i)
        if part is None:
            return
        x, y = self._x(i), self._y(i)
        if part.kind == "input":
            self.picture.items.append(Line(((x, bottom + 24), (x, y), (x + 8, y)), "input"))
            self.picture.items.append(Text(x, bottom + 36, part.label, 15.0))
        else:
            look = "state" if self.layout.elements[i].lane is not None else "message"
            self.picture.items.append(Line(((left - STUB, y), (x, y)), look))
            self.picture.items.append(Text(left - STUB - 6, y, part.label, 15.0, "end"))

    def _legend(self, x: float, y: float) -> None:
        shown = {_LOOKS[part.kind] for part in self.diagram.parts if part.kind in _LOOKS}
        for look, words in _LEGEND:
            if look in shown:
                radius = 3.0 if look in ("learnt", "function") else 6.0
                self.picture.items.append(Box(x, y - 6, 18 if look in ("learnt", "value") else 12, 12, look, radius))
                x += 24 if look in ("learnt", "value") else 18
                self.picture.items.append(Text(x, y, text(words), 11.0, "start", "muted"))
                x += width(text(words), 11.0) + 18
