"""Curves as a small PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]


def draw(
    path: Path,
    labels: tuple[str, str],
    curves: Mapping[str, Points],
    *,
    targets: Sequence[float] = (),
    logarithmic: bool = False,
) -> None:
    """Write curves by name over one pair of axes, with a dotted line at each target."""
    figure = Figure(figsize=(7.2, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker=".")
    for target in targets:
        axes.axhline(target, color="grey", linestyle=":", label=f"target {target:g}")
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if logarithmic:
        axes.set_yscale("log")
    figure.legend(loc="outside right upper", frameon=False)
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]  # matplotlib's own
