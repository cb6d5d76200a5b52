"""Colours of pictures: what a part is decides how it looks, light or dark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class Look:
    """How a part is painted; None is not at all."""

    fill: str | None = None
    stroke: str | None = None
    width: float = 1.2
    dash: bool = False


THEMES = ("light", "dark")

# Part -> (fill, stroke, width, dashed) in words that the palettes below translate.
_PARTS: dict[str, tuple[str | None, str | None, float, bool]] = {
    "frame": ("ground", "faint", 1.4, False),
    "learnt": ("amber-fill", "amber", 1.3, False),
    "function": ("blue-fill", "blue", 1.3, False),
    "operation": ("rose-fill", "rose", 1.3, False),
    "value": ("grey-fill", "faint", 1.0, False),
    "forward": ("amber-fill", "amber", 1.3, False),
    "backward": ("violet-fill", "violet", 1.3, False),
    "data": ("grey-fill", "grey", 1.1, False),
    "answer": ("green-fill", "green", 1.3, False),
    "attention": ("rose-fill", "rose", 1.3, False),
    "wire": (None, "ink", 1.2, False),
    "input": (None, "blue", 1.4, False),
    "state": (None, "green", 2.2, False),
    "message": (None, "amber", 1.8, False),
    "message-back": (None, "violet", 1.8, False),
    "look": (None, "rose", 1.2, False),
    "feedback": (None, "grey", 1.2, True),
    "rule": (None, "faint", 1.0, False),
    "ink": ("ink", None, 0.0, False),
    "muted": ("grey", None, 0.0, False),
}

_PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "page": "#ffffff", "ground": "#fbfbfc", "ink": "#1c2430", "grey": "#566273", "faint": "#b4bdc9",
        "grey-fill": "#eef1f5", "amber": "#b7791f", "amber-fill": "#fdf1d6", "blue": "#2f66c4", "blue-fill": "#e5eefc",
        "rose": "#bd3b5c", "rose-fill": "#fbe6eb", "green": "#237a50", "green-fill": "#e0f3e8", "violet": "#7445b5",
        "violet-fill": "#efe7fa",
    },
    "dark": {
        "page": "#14181f", "ground": "#191e27", "ink": "#e6eaf0", "grey": "#9aa6b6", "faint": "#4d5868",
        "grey-fill": "#252c37", "amber": "#e0a94a", "amber-fill": "#3b301a", "blue": "#7aa7f0", "blue-fill": "#1d2b45",
        "rose": "#ee8aa3", "rose-fill": "#43222c", "green": "#62c795", "green-fill": "#17352a", "violet": "#b795ec",
        "violet-fill": "#2f2445",
    },
}  # fmt: skip


def check_theme(theme: str) -> None:
    """ArgumentError unless there is such a theme."""
    if theme not in THEMES:
        raise ArgumentError(f"there is no theme {theme!r}; choose one of {', '.join(THEMES)}.")


@cache
def look(part: str, theme: str) -> Look:
    """How a kind of part looks in a theme."""
    fill, stroke, width, dash = _PARTS[part]
    return Look(colour(fill, theme), colour(stroke, theme), width, dash)


def colour(name: str | None, theme: str) -> str | None:
    """A colour of the palette as #rrggbb."""
    return None if name is None else _PALETTES[theme][name]


def tip(line: Look) -> Look:
    """The head of an arrow along a line."""
    return replace(line, fill=line.stroke, stroke=None)
