"""What a picture must keep whatever it shows: nothing lies on anything that it does not belong to."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree

from unrolled.inspect.draw.label import said, width
from unrolled.inspect.draw.picture import Box, Line, Picture, extent

SVG = "{http://www.w3.org/2000/svg}"


def geometry_faults(picture: Picture) -> list[str]:
    """Overlaps of boxes, labels and lines, and what is not on the page, in words."""
    boxes, texts = list(picture.boxes()), list(picture.texts())
    found = [f"boxes {name(a)} and {name(b)} overlap" for a, b in combinations(boxes, 2) if overlap(a, b)]
    for a, b in combinations(texts, 2):
        if meet(a.extent, b.extent):
            found.append(f"labels {said(a.label)!r} and {said(b.label)!r} overlap")
    for text in texts:
        for box in boxes:
            inside = box.x < text.x < box.x + box.width and box.y < text.y < box.y + box.height
            if inside and text.anchor == "middle" and width(text.label, text.size) > box.width:
                found.append(f"label {said(text.label)!r} is wider than its box")
            if not inside and meet(text.extent, extent(box)):
                found.append(f"label {said(text.label)!r} lies on the border of {name(box)}")
    for line in picture.lines():
        found += [f"a line of {line.part} runs through {name(box)}" for box in boxes if through(line, box)]
        found += [f"a line of {line.part} runs through {said(t.label)!r}" for t in texts if strikes(line, t.extent)]
    for item in picture.items:
        left, top, right, bottom = extent(item)
        if left < -1e-6 or top < -1e-6 or right > picture.width + 1e-6 or bottom > picture.height + 1e-6:
            found.append(f"{item} is not on the page")
    return found


def name(box: Box) -> str:
    return f"{box.part} {box.title!r} at {box.x:.0f}, {box.y:.0f}"


def meet(a: tuple[float, ...], b: tuple[float, ...], slack: float = 0.5) -> bool:
    return a[0] + slack < b[2] and b[0] + slack < a[2] and a[1] + slack < b[3] and b[1] + slack < a[3]


def overlap(a: Box, b: Box) -> bool:
    """Whether they share room without one lying wholly inside the other."""
    return meet(extent(a), extent(b)) and not (within(a, b) or within(b, a))


def within(a: Box, b: Box) -> bool:
    (al, at, ar, ab), (bl, bt, br, bb) = extent(a), extent(b)
    return bl <= al and bt <= at and ar <= br and ab <= bb


def through(line: Line, box: Box) -> bool:
    """Whether a level or upright piece of the line goes on inside the box; ends at its border are right."""
    if box.width < 10:
        return False  # a joint, where lines meet on purpose
    left, top, right, bottom = extent(box)
    side = 3.0 if box.radius < 12 else 6.0  # a line may follow a round border inwards
    inner = (left + side, top + 3, right - side, bottom - 3)
    return any(meet(piece(a, b), inner, 0.0) for a, b in pairwise(line.points))


def strikes(line: Line, label: tuple[float, ...]) -> bool:
    inner = (label[0] + 1, label[1] + 1.5, label[2] - 1, label[3] - 1.5)
    return any(meet(piece(a, b), inner, 0.0) for a, b in pairwise(line.points))


def piece(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float, float, float]:
    return min(a[0], b[0]) - 0.01, min(a[1], b[1]) - 0.01, max(a[0], b[0]) + 0.01, max(a[1], b[1]) + 0.01


def parsed(svg: str) -> ElementTree.Element:
    """The root of an SVG document, which must be valid XML."""
    return ElementTree.fromstring(svg)


def words(svg: str) -> list[str]:
    """All labels of an SVG, in order."""
    return ["".join(text.itertext()) for text in parsed(svg).iter(f"{SVG}text")]
