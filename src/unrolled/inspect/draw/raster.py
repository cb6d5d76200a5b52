"""Pictures as PNG and PDF, drawn by matplotlib from the same items as the SVG."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.inspect.draw.label import DROP, LOWERED
from unrolled.inspect.draw.path import head, rounded
from unrolled.inspect.draw.picture import Box, Line, Picture, Point, Text
from unrolled.inspect.draw.theme import Look, colour, look, tip

_POINTS = 0.75  # a CSS pixel is 1/96 inch, a point 1/72


def rendered(picture: Picture, theme: str, kind: str, scale: float) -> bytes:
    """The bytes of a PNG or a PDF; raises ArgumentError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ArgumentError(
            f"a {kind.upper()} needs matplotlib, which is not installed; "
            "run \"pip install 'unrolled[plot]'\", or draw an SVG."
        )
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(picture.width / 96, picture.height / 96), dpi=96 * scale, facecolor=colour("page", theme))
    FigureCanvasAgg(figure)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, picture.width), ylim=(picture.height, 0))
    axes.axis("off")
    # Text stays text in a PDF; without dates the same picture gives the same bytes.
    with rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        for order, item in enumerate(picture.items):
            paint = {Box: _box, Line: _line, Text: _text}[type(item)]
            paint(axes, item, theme, order)
        written = io.BytesIO()
        notes = {"CreationDate": None, "Title": picture.title} if kind == "pdf" else {"Title": picture.title}
        figure.savefig(written, format=kind, facecolor=figure.get_facecolor(), metadata=notes)
    return written.getvalue()


def _box(axes: Any, box: Any, theme: str, order: int) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    if box.width == box.height <= 2 * box.radius:
        middle = (box.x + box.width / 2, box.y + box.height / 2)
        axes.add_patch(Circle(middle, box.width / 2, zorder=order, **_paint(look(box.part, theme))))
        return
    radius = min(box.radius, box.width / 2, box.height / 2)
    style = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
    place = ((box.x, box.y), box.width, box.height)
    axes.add_patch(FancyBboxPatch(*place, boxstyle=style, zorder=order, **_paint(look(box.part, theme))))


def _line(axes: Any, line: Any, theme: str, order: int) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    codes: list[Any] = []
    points: list[Point] = []
    for kind, through in rounded(line):
        codes += [{"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3}[kind]] * len(through)
        points += through
    how = look(line.part, theme)
    axes.add_patch(PathPatch(Path(points, codes), zorder=order, **_paint(how)))
    if line.arrow:
        axes.add_patch(Polygon(head(line), closed=True, zorder=order, **_paint(tip(how))))


def _text(axes: Any, text: Any, theme: str, order: int) -> None:
    x = text.extent[0]
    for run in text.label:
        size = text.size * (LOWERED if run.lowered else 1.0)
        y = text.y + 0.35 * text.size + (DROP * text.size if run.lowered else 0.0)
        axes.text(
            x, y, run.text, fontsize=size * _POINTS, color=look(text.part, theme).fill, zorder=order,
            style="italic" if run.italic else "normal", weight="bold" if run.bold else "normal", va="baseline",
            parse_math=False,
        )  # fmt: skip
        x += run.width(text.size)


def _paint(how: Look) -> dict[str, Any]:
    return {
        "facecolor": how.fill or "none",
        "edgecolor": how.stroke or "none",
        "linewidth": how.width * _POINTS if how.stroke else 0.0,
        "linestyle": (0, (4, 3)) if how.dash else "solid",
    }
