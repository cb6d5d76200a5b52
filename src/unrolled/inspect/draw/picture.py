"""A picture as data: boxes, circles, lines and labels, which SVG, PNG and PDF are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.errors import ArgumentError, RunError
from unrolled.inspect.draw.label import Label, width
from unrolled.inspect.draw.theme import check_theme

Point = tuple[float, float]
FORMATS = ("svg", "png", "pdf")


@dataclass(frozen=True)
class Box:
    """A rectangle; `title` is shown where the reader points at it."""

    x: float
    y: float
    width: float
    height: float
    part: str
    radius: float = 6.0
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points, its corners rounded; `arrow` puts a head at its end."""

    points: tuple[Point, ...]
    part: str
    arrow: bool = False
    radius: float = 6.0


@dataclass(frozen=True)
class Text:
    """A label; y is the middle of its letters, `anchor` says which end x is: start, middle or end."""

    x: float
    y: float
    label: Label
    size: float = 13.0
    anchor: str = "middle"
    part: str = "ink"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        wide = width(self.label, self.size)
        left = self.x - {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        return left, self.y - 0.42 * self.size, left + wide, self.y + 0.42 * self.size


Item = Box | Line | Text


@dataclass
class Picture:
    """A drawing that can be looked at in a notebook, saved as SVG, PNG or PDF, light or dark.

    `width` and `height` are in CSS pixels, 96 an inch. `title` and `description` are for readers that cannot see it.
    """

    title: str
    description: str = ""
    width: float = 0.0
    height: float = 0.0
    items: list[Item] = field(default_factory=list)

    def svg(self, theme: str = "light") -> str:
        """The picture as an SVG document."""
        from unrolled.inspect.draw.svg import to_svg

        check_theme(theme)
        return to_svg(self, theme)

    def png(self, theme: str = "light", scale: float = 2.0) -> bytes:
        """The picture as PNG, `scale` dots for each of its pixels; needs matplotlib."""
        from unrolled.inspect.draw.raster import rendered

        check_theme(theme)
        return rendered(self, theme, "png", scale)

    def pdf(self, theme: str = "light") -> bytes:
        """The picture as a PDF page with its text as text; needs matplotlib."""
        from unrolled.inspect.draw.raster import rendered

        check_theme(theme)
        return rendered(self, theme, "pdf", 1.0)

    def save(self, path: str | Path, theme: str = "light") -> Path:
        """Write the picture; the end of the name decides the format. Raises ArgumentError for another end."""
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise ArgumentError(f"{path} does not say which format to draw; end its name in .svg, .png or .pdf.")
        content = self.svg(theme).encode() if kind == "svg" else self.png(theme) if kind == "png" else self.pdf(theme)
        try:
            path.write_bytes(content)
        except OSError as error:
            raise RunError(f"{path} cannot be written ({error.strerror}); choose another file.") from None
        return path

    def boxes(self) -> Iterator[Box]:
        """The boxes that stand for something, frames apart."""
        return (item for item in self.items if isinstance(item, Box) and item.part != "frame")

    def texts(self) -> Iterator[Text]:
        """All labels."""
        return (item for item in self.items if isinstance(item, Text))

    def lines(self) -> Iterator[Line]:
        """All lines."""
        return (item for item in self.items if isinstance(item, Line))

    def moved(self, dx: float, dy: float) -> list[Item]:
        """The items somewhere else, to be put into another picture."""
        return [_moved(item, dx, dy) for item in self.items]

    def fit(self, margin: float = 16.0) -> Picture:
        """Move everything so that nothing is cut off, and make the page as large as that."""
        extents = [extent(item) for item in self.items]
        left, top = min(e[0] for e in extents) - margin, min(e[1] for e in extents) - margin
        right, bottom = max(e[2] for e in extents) + margin, max(e[3] for e in extents) + margin
        self.items = self.moved(-left, -top)
        self.width, self.height = round(right - left, 1), round(bottom - top, 1)
        return self

    def _repr_svg_(self) -> str:
        return self.svg()


def extent(item: Item) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of an item."""
    if isinstance(item, Box):
        return item.x, item.y, item.x + item.width, item.y + item.height
    if isinstance(item, Text):
        return item.extent
    xs, ys = [p[0] for p in item.points], [p[1] for p in item.points]
    return min(xs), min(ys), max(xs), max(ys)


def _moved(item: Item, dx: float, dy: float) -> Item:
    if isinstance(item, Box):
        return Box(item.x + dx, item.y + dy, item.width, item.height, item.part, item.radius, item.title)
    if isinstance(item, Line):
        points = tuple((x + dx, y + dy) for x, y in item.points)
        return Line(points, item.part, item.arrow, item.radius)
    return Text(item.x + dx, item.y + dy, item.label, item.size, item.anchor, item.part)
