"""What was found inside a run, for a reader at a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from unrolled.inspect.arrays import Floats
from unrolled.inspect.horizon import Horizon, compare_horizons
from unrolled.inspect.inspection import Depth, Inspection, Reading
from unrolled.inspect.patterns import joined
from unrolled.inspect.why import Attribution, Surprise

_WIDTH = 110
_BARS = " ▁▂▃▄▅▆▇█"
_INDENT = 20


def summary(found: Inspection) -> str:
    """The whole inspection as text."""
    layers = f"{found.layers} x " if found.layers > 1 else ""
    head = f"{found.run}: {found.task}, {found.cell} {layers}{found.hidden}, {found.parameters:,} parameters"
    lines = [head, f"looked at {found.depth.data}", *depth_lines(found.depth)]
    if found.reading is not None:
        lines += reading_lines(found.reading)
    return "\n".join(lines)


def depth_lines(depth: Depth) -> list[str]:
    """Gradient through time, Jacobian, memory horizon."""
    lines: list[str] = []
    if depth.gradients:
        lines += ["", "Gradient through time: what is left of it, from the loss backwards"]
        for gradient in depth.gradients:
            lines += _entry(str(gradient.place), str(gradient.verdict))
            lines.append(_curve(gradient.distances, gradient.reach))
    if depth.spectra:
        lines += ["", "Jacobian of a step: what becomes of a small difference"]
        for one in depth.spectra:
            lines += _entry(str(one.place), f"{one.sentence}.{'' if one.exact else ' By power iteration.'}")
    if depth.horizons:
        share = depth.horizons[0].threshold
        lines += ["", f"Memory horizon: how far back an input still changes the last state by {share:.0%} or more"]
        places = dict.fromkeys(horizon.place for horizon in depth.horizons)
        for place in places:
            lines += _horizon([horizon for horizon in depth.horizons if horizon.place == place])
    return lines + [f"  note: {remark}" for remark in depth.remarks]


def _horizon(found: Sequence[Horizon]) -> list[str]:
    """One place, however its horizon was found."""
    first = found[0]
    units = np.maximum(first.unit_horizons, 0)
    numbers = ", ".join(f"{horizon.words} by {horizon.by}" for horizon in found)
    least, most = int(units.min()), int(units.max())
    single = f"from {least} to {most}, median {np.median(units):g}; furthest: unit {int(units.argmax())}"
    said = f"{numbers}. Single units: {f'all {most}' if least == most else single}."
    return [*_entry(str(first.place), said), _curve(first.distances, first.curve)]


def reading_lines(reading: Reading) -> list[str]:
    """One input in detail."""
    lines = ["", f"The input: {_shown(reading.text)}"]
    for states, found, plane in zip(reading.states, reading.health, reading.paths, strict=True):
        lines += _entry(states.network or "network", f"{len(states):,} steps")
        lines += [part for line in found.lines for part in _entry("", line)]
        lines += _entry("", f"two dimensions show {plane.explained.sum():.0%} of what {plane.place} {plane.name} does")
    if reading.followers:
        lines += ["", "Which unit follows what"]
        ordered = sorted(reading.followers.items(), key=lambda item: -item[1].score)
        lines += [line for name, one in ordered for line in _entry(name, str(one), 26)]
    if reading.why:
        lines += ["", f"Why {_quoted(reading.why[0].output)} at {_quoted(reading.why[0].answer)}"]
        lines += [line for one in reading.why for line in _entry(one.method, _attribution(one), 26)]
    if reading.attention is not None:
        lines += ["", "Where each answer looked most"]
        rows = zip(reading.attention.answers, reading.attention.weights, strict=False)
        lines += [line for answer, row in rows for line in _entry(_quoted(answer), _looked(reading, row), 20)]
    if reading.surprise is not None and len(reading.surprise.nats):
        lines += ["", "Surprise", *_entry("", _surprise(reading.surprise))]
    return lines + [f"  note: {remark}" for remark in reading.remarks]


def _attribution(one: Attribution) -> str:
    parts = ", ".join(f"{_quoted(label)} at {t + 1} {value:+.3g}" for t, label, value in one.strongest())
    whole = f"score {one.score:.3g}, {one.change:+.3g} beside an input that says nothing"
    gap = "" if one.gap is None else f"; the contributions sum to it within {one.gap:.2%}"
    return f"{whole}{gap}. Most: {parts}"


def _looked(reading: Reading, row: Floats) -> str:
    steps = reading.attention.steps if reading.attention is not None else ()
    order = np.argsort(-row, kind="stable")[:4]
    return ", ".join(f"{_quoted(steps[int(t)])} {row[t]:.0%}" for t in order if row[t] > 0)


def _surprise(found: Surprise) -> str:
    before = [_quoted(joined(found.answers[max(0, u - 12) : u])) for u, _, _ in found.most(4)]
    places = ", ".join(
        f"{_quoted(label)} at {u + 1} ({p:.2g}{f', after {words}' if u else ''})"
        for (u, label, p), words in zip(found.most(4), before, strict=True)
    )
    known = found.nats[np.isfinite(found.nats)]
    return f"{known.mean():.3f} nats an answer, {found.entropy.mean():.3f} expected. Least expected: {places}"


def comparison(found: Sequence[Inspection]) -> str:
    """Several runs side by side, and in words which one looks back further."""
    heads = ("run", "cell", "gradient", "a step", "Lyapunov", "horizon")
    rows = [_row(one) for one in found]
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
    lines = [
        "  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    ]
    named = {one.run: one.depth.horizon for one in found}
    known = {run: horizon for run, horizon in named.items() if horizon is not None}
    return "\n".join([*lines, *(compare_horizons(known) if len(known) > 1 else [])])


def _row(one: Inspection) -> tuple[str, ...]:
    gradient = one.depth.gradients[-1].verdict if one.depth.gradients else None
    spectra, horizon = one.depth.spectra, one.depth.horizon
    kind = "-" if gradient is None else gradient.kind
    start = "" if gradient is None or gradient.step is None else f" from {gradient.step} steps"
    factor = "-" if gradient is None else f"x {gradient.rate:.3f}"
    lyapunov = f"{spectra[-1].lyapunov[0]:+.3f}" if spectra else "-"
    return (one.run, one.cell, kind + start, factor, lyapunov, "-" if horizon is None else horizon.words)


def _curve(distances: Sequence[int] | np.ndarray, sizes: Floats) -> str:
    """A line of bars over log size, each for as many steps as the others; the distance stands at both ends."""
    last = int(distances[-1])
    at = np.linspace(0, last, min(60, last + 1))
    logs = np.interp(at, distances, np.log10(np.clip(np.nan_to_num(sizes, nan=0.0, posinf=1e30), 1e-30, 1e30)))
    low, high = -4.0, max(0.0, float(logs.max()))
    places = np.clip((logs - low) / (high - low), 0, 1) * (len(_BARS) - 1)
    bars = "".join(_BARS[round(p)] for p in places)
    return f"{'':{_INDENT}}0 {bars} {last} steps back (log scale, 1e-4 to {10**high:.3g})"


def _entry(name: str, text: str, indent: int = _INDENT) -> list[str]:
    """A paragraph with its name in front."""
    first, *rest = textwrap.wrap(text, _WIDTH - indent) or [""]
    return [f"{f'  {name}':<{indent}}{' ' if len(name) > indent - 3 else ''}{first}", *(" " * indent + r for r in rest)]


def _quoted(text: str) -> str:
    return repr(text) if text else "''"


def _shown(text: str, most: int = 70) -> str:
    return repr(text if len(text) <= most else text[: most - 3] + "...")
