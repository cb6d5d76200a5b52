"""The geometry of lines: corners made round, heads of arrows. Both writers draw what stands here."""

from __future__ import annotations

from math import hypot

from unrolled.inspect.draw.picture import Line, Point

HEAD, SPREAD = 7.5, 3.2

Segment = tuple[str, tuple[Point, ...]]


def rounded(line: Line) -> list[Segment]:
    """The line as moves (M), straight lines (L) and quadratic curves (Q), short of its arrow's head."""
    points = list(line.points)
    if line.arrow:
        points[-1] = toward(points[-1], points[-2], HEAD - 1.0)
    found: list[Segment] = [("M", (points[0],))]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        room = min(line.radius, distance(before, corner) / 2, distance(corner, after) / 2)
        found.append(("L", (toward(corner, before, room),)))
        found.append(("Q", (corner, toward(corner, after, room))))
    found.append(("L", (points[-1],)))
    return found


def head(line: Line) -> tuple[Point, Point, Point]:
    """The three corners of the arrow's head at the line's end."""
    (ax, ay), (bx, by) = line.points[-2], line.points[-1]
    long = distance((ax, ay), (bx, by)) or 1.0
    ux, uy = (bx - ax) / long, (by - ay) / long
    foot = (bx - HEAD * ux, by - HEAD * uy)
    return (bx, by), (foot[0] - SPREAD * uy, foot[1] + SPREAD * ux), (foot[0] + SPREAD * uy, foot[1] - SPREAD * ux)


def distance(a: Point, b: Point) -> float:
    """How far two points are apart."""
    return hypot(b[0] - a[0], b[1] - a[1])


def toward(a: Point, b: Point, step: float) -> Point:
    """The point `step` away from a in the direction of b."""
    long = distance(a, b)
    share = 0.0 if long == 0 else min(1.0, step / long)
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
