"""Curves as a small PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

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


@dataclass(frozen=True)
class Panel:
    """Curves by name over one pair of axes; `logarithmic` names the axes that are: "xy", "x" or none."""

    title: str
    labels: tuple[str, str]
    curves: Mapping[str, Points]
    targets: Sequence[float] = ()
    logarithmic: str = "xy"


def draw_panels(path: Path, panels: Sequence[Panel], columns: int = 2) -> None:
    """Write several panels as one picture."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.5 * rows), dpi=100, layout="constrained")
    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, place)
        for name, points in panel.curves.items():
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker=".")
        for target in panel.targets:
            axes.axhline(target, color="grey", linestyle=":", label=f"target {target:g}")
        axes.set(title=panel.title, xlabel=panel.labels[0], ylabel=panel.labels[1])
        for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            if name in panel.logarithmic:
                (axes.set_xscale if name == "x" else axes.set_yscale)("log")
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
                axis.set_minor_formatter(NullFormatter())
        if "y" not in panel.logarithmic:
            axes.set_ylim(bottom=0, top=1.15 * axes.get_ylim()[1])
        if len(panel.curves) + len(panel.targets) > 1:
            axes.legend(frameon=False, fontsize="small")
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]  # matplotlib's own
