"""What was found inside, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.errors import ArgumentError, RunError
from unrolled.inspect.gradient import TimeGradient
from unrolled.inspect.horizon import Horizon
from unrolled.inspect.jacobian import Spectrum
from unrolled.inspect.states import Path, Trace
from unrolled.inspect.subject import AttentionMap
from unrolled.inspect.why import Attribution, Surprise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from unrolled.inspect.inspection import Inspection


def gradient_figure(gradients: Mapping[str, TimeGradient]) -> Figure:
    """||dh_T/ds_t|| of several layers, cells or runs against the distance, on a log scale."""
    figure, axes = _figure(6.4, 3.6)
    for name, one in gradients.items():
        axes.semilogy(one.distances, np.maximum(one.reach, 1e-12), label=f"{name}: {one.verdict.kind}")
    axes.axhline(0.01, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="steps before the last one", ylabel="size of dh_T / ds_t", title="Gradient through time")
    axes.legend(frameon=False)
    return figure


def horizon_figure(horizons: Mapping[str, Horizon]) -> Figure:
    """The change of the last state that one input makes, against how far back it stands."""
    figure, axes = _figure(6.4, 3.6)
    for name, one in horizons.items():
        (line,) = axes.semilogy(one.distances, np.maximum(one.curve, 1e-6), label=f"{name}: {one.words}")
        if one.horizon >= 0:
            axes.axvline(one.horizon, color=line.get_color(), linewidth=0.8, linestyle="--")
        axes.axhline(one.threshold, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="steps back", ylabel="change of the last state", title="Memory horizon", ylim=(1e-5, 3))
    axes.legend(frameon=False)
    return figure


def spectrum_figure(spectrum: Spectrum) -> Figure:
    """Singular values and spectral radius at each step, and the Lyapunov exponents."""
    figure, axes = _figure(8, 3.4, columns=2)
    left, right = axes
    left.plot(spectrum.singular[:, :8], color="C0", linewidth=0.8, alpha=0.6)
    left.plot(np.linspace(0, len(spectrum.singular) - 1, len(spectrum.radius)), spectrum.radius, color="C1")
    left.set(xlabel="step", title="singular values (blue), spectral radius (orange)")
    finite = spectrum.lyapunov[np.isfinite(spectrum.lyapunov)]
    right.plot(np.arange(1, len(finite) + 1), finite, marker=".")
    right.axhline(0, color="0.6", linewidth=0.8)
    right.set(xlabel="number", title="Lyapunov exponents (a step)")
    return figure


def units_figure(trace: Trace, labels: Sequence[str], *, first: int = 0, steps: int = 80) -> Figure:
    """The activity of every unit over a stretch of steps, units in rows."""
    part = trace.values[first : first + steps].T
    figure, axes = _figure(max(4.0, 0.14 * part.shape[1] + 1.5), min(9.0, 0.08 * len(part) + 1.4))
    size = float(np.abs(part).max(initial=1e-9))
    low = 0.0 if trace.squashed else -size
    image = axes.imshow(part, aspect="auto", cmap="viridis" if trace.squashed else "RdBu_r", vmin=low, vmax=size)
    axes.set_xticks(range(part.shape[1]), [shown(label) for label in labels[first : first + steps]], fontsize=7)
    axes.set(ylabel="unit", title=str(trace))
    figure.colorbar(image, ax=axes)
    return figure


def path_figure(path: Path, labels: Sequence[str], *, first: int = 0, steps: int = 200) -> Figure:
    """The path of the state over some steps in the plane of its principal components, from dark to bright."""
    figure, axes = _figure(5, 4.4)
    x, y = path.points[first : first + steps].T
    labels = labels[first : first + steps]
    axes.plot(x, y, color="0.8", linewidth=0.6)
    axes.scatter(x, y, c=np.arange(len(x)), cmap="viridis", s=12)
    for t in range(0, len(x), max(1, len(x) // 40)):
        axes.annotate(shown(labels[t]), (x[t], y[t]), fontsize=7)
    share = [f"component {k + 1} ({part:.0%})" for k, part in enumerate(path.explained)]
    axes.set(xlabel=share[0], ylabel=share[1], title=f"{path.place} {path.name}")
    return figure


def attribution_figure(found: Attribution, *, last: int = 100) -> Figure:
    """What each of the `last` steps contributed, as bars."""
    values, labels = found.contributions[-last:], found.labels[-last:]
    figure, axes = _figure(max(4.0, 0.14 * len(labels) + 1), 2.8)
    axes.bar(range(len(labels)), values, color=["C0" if value >= 0 else "C3" for value in values])
    axes.set_xticks(range(len(labels)), [shown(label) for label in labels], fontsize=7)
    axes.tick_params(axis="x", rotation=0 if max(map(len, labels)) <= 2 else 60)
    axes.set(ylabel="contribution", title=f"{found.method}: {shown(found.output)} at {shown(found.answer)}")
    return figure


def attention_figure(found: AttentionMap) -> Figure:
    """Where each answer looked: a row for each answer."""
    figure, axes = _figure(1.8 + 0.4 * len(found.steps), 1.4 + 0.3 * len(found.answers))
    image = axes.imshow(found.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(found.steps)), [shown(step) for step in found.steps], rotation=60, ha="right")
    axes.set_yticks(range(len(found.answers)), [shown(answer) for answer in found.answers])
    figure.colorbar(image, ax=axes, label="weight")
    return figure


def surprise_figure(found: Surprise, *, first: int = 0, steps: int = 120) -> Figure:
    """What each answer cost, beside how much the network expected it to cost."""
    part = slice(first, first + steps)
    figure, axes = _figure(max(4.0, 0.13 * len(found.nats[part]) + 1), 2.8)
    axes.bar(range(len(found.nats[part])), found.nats[part], color="C3", label="surprise")
    axes.step(range(len(found.entropy[part])), found.entropy[part], where="mid", color="0.3", label="expected")
    axes.set_xticks(range(len(found.answers[part])), [shown(label) for label in found.answers[part]], fontsize=7)
    axes.set(ylabel="nats")
    axes.legend(frameon=False)
    return figure


def write_figures(found: Sequence[Inspection], folder: FilePath) -> list[FilePath]:
    """The curves of one run or of several, and the pictures of its input, as PNG; raises RunError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, figure in _all(found).items():
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=130)
            written.append(path)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror or error}); choose another folder") from None
    return written


def _all(found: Sequence[Inspection]) -> dict[str, Any]:
    several = len(found) > 1

    def named(one: Inspection, place: object) -> str:
        return f"{one.run} {place}" if several else str(place)

    gradients = {named(one, g.place): g for one in found for g in one.depth.gradients}
    horizons = {named(one, h.place): h for one in found for h in one.depth.horizons if h.by == "perturbation"}
    figures: dict[str, Any] = {}
    if gradients:
        figures["gradient"] = gradient_figure(gradients)
    if horizons:
        figures["horizon"] = horizon_figure(horizons)
    if not several and found[0].depth.spectra:
        figures["jacobian"] = spectrum_figure(found[0].depth.spectra[-1])
    reading = None if several else found[0].reading
    if reading is not None:
        for states, plane in zip(reading.states, reading.paths, strict=True):
            prefix = states.network.replace(".", "-") or "network"
            figures[f"{prefix}-units"] = units_figure(states.trace(plane.name), states.labels)
            figures[f"{prefix}-path"] = path_figure(plane, states.labels)
        figures |= {one.method.replace(" ", "-"): attribution_figure(one) for one in reading.why}
        if reading.attention is not None:
            figures["attention"] = attention_figure(reading.attention)
        if reading.surprise is not None and len(reading.surprise.nats):
            figures["surprise"] = surprise_figure(reading.surprise)
    return figures


def shown(label: str) -> str:
    """A unit with its spaces visible; matplotlib would read a dollar as the begin of a formula."""
    return label.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥").replace("$", r"\$")


def _figure(width: float, height: float, *, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of its own, without the state of pyplot; raises ArgumentError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ArgumentError("a figure needs matplotlib, which is not installed; run \"pip install 'unrolled[plot]'\"")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(width, 40.0), min(height, 40.0)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)
