"""Curves as inline SVG: readable on paper and without a script; each point says its value where it is pointed at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

Curve = tuple[str, npt.NDArray[np.integer], npt.NDArray[np.floating]]

_WIDE, _HIGH, _LEFT, _BOTTOM, _TOP = 720.0, 260.0, 62.0, 42.0, 12.0
_LOWEST = 1e-8
_MOST_POINTS = 90


def decay_chart(curves: Sequence[Curve], across: str, up: str, *, level: float | None = None) -> str:
    """Sizes over distances on a logarithmic scale, with a dashed line at `level`."""
    known = [np.clip(c[2][np.isfinite(c[2])], _LOWEST, None) for c in curves]
    low = math.floor(math.log10(min([float(k.min()) for k in known if len(k)] or [1.0])))
    high = max(math.ceil(math.log10(max([float(k.max()) for k in known if len(k)] or [1.0]))), low + 1)
    last = max([int(c[1][-1]) for c in curves if len(c[1])] or [1]) or 1

    def x(distance: float) -> float:
        return _LEFT + (_WIDE - _LEFT - 12) * distance / last

    def y(size: float) -> float:
        return _TOP + (_HIGH - _TOP - _BOTTOM) * (high - math.log10(max(size, _LOWEST))) / (high - low)

    said = escape(f"{up} against {across}")
    box = f'viewBox="0 0 {_WIDE:g} {_HIGH:g}" role="img" aria-label="{said}"'
    parts = [f'<div class="plot" tabindex="0"><svg class="chart" {box}>']
    step = max(1, (high - low) // 6)
    for power in range(low, high + 1, step):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDE - 12:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8:g}" y="{at + 4:.1f}" text-anchor="end">{_power(power)}</text>')
    parts += [
        f'<text x="{x(distance):.1f}" y="{_HIGH - 24:g}" text-anchor="middle">{distance}</text>'
        for distance in _ticks(last)
    ]
    if level is not None:
        at = y(level)
        parts.append(f'<line class="level" x1="{_LEFT:g}" x2="{_WIDE - 12:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
    for k, (name, distances, sizes) in enumerate(curves):
        shown = [(int(d), float(s)) for d, s in zip(distances, sizes, strict=True) if np.isfinite(s)]
        way = " ".join(f"{x(d):.1f},{y(s):.1f}" for d, s in shown)
        parts.append(f'<polyline class="c{k % 6}" points="{way}"/>')
        for d, s in shown[:: max(1, len(shown) // _MOST_POINTS)]:
            tip = escape(f"{name}: {s:.3g} at {d} steps")
            parts.append(f'<circle class="c{k % 6}" cx="{x(d):.1f}" cy="{y(s):.1f}" r="3" data-tip="{tip}"/>')
    parts.append(f'<text x="{(_LEFT + _WIDE) / 2:g}" y="{_HIGH - 5:g}" text-anchor="middle">{escape(across)}</text>')
    names = "".join(f'<li class="c{k % 6}">{escape(name)}</li>' for k, (name, _, _) in enumerate(curves))
    return "".join(parts) + f'</svg></div><ul class="key"><li class="what">{escape(up)}:</li>{names}</ul>'


def _power(power: int) -> str:
    if -3 <= power <= 3:
        return f"{10.0**power:g}"
    return f'10<tspan dy="-5" font-size="9">{power}</tspan>'.replace("-", "−").replace('dy="−', 'dy="-')


def _ticks(last: int) -> list[int]:
    size = 10 ** math.floor(math.log10(max(1, last / 4)))
    step = next(size * k for k in (1, 2, 5, 10) if last / (size * k) <= 8)
    return list(range(0, last + 1, step))


def heat_table(rows: Sequence[str], columns: Sequence[str], weights: npt.NDArray[np.floating], head: str) -> str:
    """Weights (R, C) as a table, the darker the larger."""
    top = "".join(f'<th scope="col">{escape(visible(name))}</th>' for name in columns)
    body = []
    for name, row in zip(rows, weights, strict=False):
        cells = "".join(
            f'<td style="--w:{max(0.0, float(w)):.3f}" '
            f'data-tip="{escape(visible(name))} looked at {escape(visible(column))}: {float(w):.1%}"></td>'
            for w, column in zip(row, columns, strict=False)
        )
        body.append(f'<tr><th scope="row">{escape(visible(name))}</th>{cells}</tr>')
    return (
        f'<div class="wide" tabindex="0"><table class="heat"><caption>{escape(head)}</caption>'
        f"<thead><tr><td></td>{top}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def visible(name: str) -> str:
    """A label that can be seen, though it is a space or a line break."""
    return name.replace(" ", "␣").replace("\n", "↵") if name.strip() == "" else name
