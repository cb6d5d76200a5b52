"""The table as a picture: how many times as long as ours everybody takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from unrolled.bench.recurrent import OURS, Row
from unrolled.errors import DataError

MARKS = "osD^vPX"


def draw(path: Path, rows: Sequence[Row], labels: Mapping[str, str]) -> str | None:
    """Write a PNG: a panel for each phase, a place for each cell and shape, a mark for each library of `labels`.

    Returns why not, if it is not; raises DataError where the file cannot be written.
    """
    if find_spec("matplotlib") is None:
        return "no picture: matplotlib is not installed (pip install 'unrolled[plot]')"
    try:
        _draw(path, rows, labels)
    except OSError as error:
        raise DataError(f"the picture could not be written ({error.strerror}); name another file", path) from None
    return None


def _draw(path: Path, rows: Sequence[Row], labels: Mapping[str, str]) -> None:
    """The figure is made without pyplot, whose state and window systems are nobody's business here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    phases = list(dict.fromkeys(row.phase for row in rows))
    width = max(6.4, 1.6 + 0.8 * len(rows) / len(phases))
    figure = Figure(figsize=(width, 1.2 + 2.6 * len(phases)), dpi=100, layout="constrained")
    for axes, phase in zip(figure.subplots(len(phases), squeeze=False, sharex=True)[:, 0], phases, strict=True):
        chosen = [row for row in rows if row.phase == phase]
        axes.axhline(1.0, color="black", label=labels[OURS])
        for place, (library, label) in enumerate((k, v) for k, v in labels.items() if k != OURS):
            points = [(i, row.ratio(library)) for i, row in enumerate(chosen) if library in row.times]
            if points:
                mark = MARKS[place % len(MARKS)]
                axes.plot(*zip(*points, strict=True), mark, color=f"C{place}", label=label, alpha=0.8)
        axes.set(title=phase, ylabel="times as long as ours", yscale="log", xlim=(-0.5, len(chosen) - 0.5))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(range(len(chosen)), [f"{row.cell}\n{row.shape.short}" for row in chosen], fontsize=7)
        axes.grid(axis="y", alpha=0.3)
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: h for found, names in pairs for h, label in zip(found, names, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]  # matplotlib's own
