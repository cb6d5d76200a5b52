"""Pictures as SVG: plain shapes and real text, readable for browsers, TeX and drawing programs alike."""

from __future__ import annotations

import re
from html import escape

from unrolled.inspect.draw.label import DROP, LOWERED
from unrolled.inspect.draw.path import head, rounded
from unrolled.inspect.draw.picture import Box, Line, Picture, Point, Text
from unrolled.inspect.draw.theme import Look, colour, look, tip

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_ROLE = f'viewBox="0 0 {{}} {{}}" role="img" font-family="{FONT}"'
# What XML 1.0 cannot hold even when escaped.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_svg(picture: Picture, theme: str) -> str:
    """The picture as a complete document; labels are escaped, nothing in it can run."""
    wide, high = _number(picture.width), _number(picture.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" {_ROLE.format(wide, high)}>',
        f"<title>{_escaped(picture.title)}</title>",
        f"<desc>{_escaped(picture.description)}</desc>" if picture.description else "",
        f'<rect width="{wide}" height="{high}" fill="{colour("page", theme)}"/>',
    ]
    for item in picture.items:
        write = _box(item, theme) if isinstance(item, Box) else _line(item, theme) if isinstance(item, Line) else ""
        parts.append(_text(item, theme) if isinstance(item, Text) else write)
    return "\n".join(part for part in [*parts, "</svg>"] if part) + "\n"


def _box(box: Box, theme: str) -> str:
    radius = min(box.radius, box.width / 2, box.height / 2)
    place = (
        f'x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}" height="{_number(box.height)}" '
        f'rx="{_number(radius)}" {_paint(look(box.part, theme))}'
    )
    return f"<rect {place}><title>{_escaped(box.title)}</title></rect>" if box.title else f"<rect {place}/>"


def _line(line: Line, theme: str) -> str:
    how = look(line.part, theme)
    way = " ".join(kind + " ".join(_point(p) for p in points) for kind, points in rounded(line))
    drawn = f'<path d="{way}" {_paint(how)}/>'
    if line.arrow:
        drawn += f'\n<path d="M{" L".join(_point(p) for p in head(line))} Z" {_paint(tip(how))}/>'
    return drawn


def _text(text: Text, theme: str) -> str:
    pieces, lowered = [], False
    for run in text.label:
        shift = (DROP if run.lowered else -DROP) * text.size if run.lowered != lowered else 0.0
        style = ' font-style="italic"' if run.italic else ""
        style += ' font-weight="bold"' if run.bold else ""
        style += f' font-size="{_number(LOWERED * text.size)}"' if run.lowered else ""
        style += f' dy="{_number(shift)}"' if shift else ""
        words = _escaped(run.text)
        pieces.append(f"<tspan{style}>{words}</tspan>" if style else words)
        lowered = run.lowered
    return (
        f'<text x="{_number(text.x)}" y="{_number(text.y + 0.35 * text.size)}" font-size="{_number(text.size)}" '
        f'text-anchor="{text.anchor}" fill="{look(text.part, theme).fill}" xml:space="preserve">'
        f"{''.join(pieces)}</text>"
    )


def _paint(how: Look) -> str:
    said = [f'fill="{how.fill or "none"}"']
    if how.stroke:
        said.append(f'stroke="{how.stroke}" stroke-width="{_number(how.width)}"')
    return " ".join([*said, 'stroke-dasharray="4 3"'] if how.dash else said)


def _point(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _escaped(words: str) -> str:
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", words))
