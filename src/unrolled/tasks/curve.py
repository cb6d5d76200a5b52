"""The course of a training: read from metrics.jsonl, kept in memory, drawn as a small picture."""

from __future__ import annotations

import io
import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unrolled.tasks.run import CURVE, METRICS, write_bytes
from unrolled.train import Evaluation, Observer, Step, TrainResult


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that was cut short by a kill is left out."""
    try:
        lines = (run / METRICS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


class History(Observer):
    """The rows that metrics.jsonl would hold, for a training without a run folder: evaluations and the loss before."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._losses: list[float] = []

    def on_step(self, step: Step) -> None:
        self._losses.append(step.loss)

        self._last = {"step": step.step, "epoch": step.epoch, "seconds": round(step.seconds, 3)}

    def on_end(self, result: TrainResult) -> None:
        self._close()

    def _close(self) -> None:
        if self._losses:
            self.rows.append({**self._last, "part": "train", "loss": sum(self._losses) / len(self._losses)})
        self._losses = []

    def on_evaluate(self, evaluation: Evaluation) -> None:
        self._close()
        place = {"step": evaluation.step, "epoch": evaluation.epoch, "seconds": round(evaluation.seconds, 3)}
        finite = {name: value if math.isfinite(value) else None for name, value in evaluation.metrics.items()}
        self.rows.append({**place, "part": "valid", **finite, "best": evaluation.best})


def draw_curve(run: Path, metric: str) -> str | None:
    """Write curve.png: training loss, validation loss and the metric over the steps. Returns why not, if it is not."""
    if find_spec("matplotlib") is None:
        return "no picture of the learning curve: matplotlib is not installed (pip install 'unrolled[plot]')"
    rows = [row for row in read_metrics(run) if row.get("loss") is not None and isinstance(row.get("step"), int)]
    if not rows:
        return "no picture of the learning curve: the training was too short to be measured"
    write_bytes(run / CURVE, _picture(rows, metric))
    return None


def _picture(rows: list[dict[str, Any]], metric: str) -> bytes:
    """A PNG. The figure is made without pyplot, whose state and window systems a training should not touch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="step", ylabel="loss")
    for part, style in (("train", {"alpha": 0.5, "linewidth": 1.0}), ("valid", {"marker": "."})):
        points = [(row["step"], row["loss"]) for row in rows if row.get("part") == part]
        if points:
            axes.plot(*zip(*points, strict=True), label=f"{part} loss", **style)
    points = [(row["step"], row[metric]) for row in rows if row.get("part") == "valid" and row.get(metric) is not None]
    if points and metric != "loss":
        right = axes.twinx()
        right.set_ylabel(metric)
        right.plot(*zip(*points, strict=True), color="tab:green", marker=".", label=f"valid {metric}")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
