"""`unrolled evaluate RUN DATA`: the task's metrics on a labelled file or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.forecasting import comparison_lines
from unrolled.cli.output import Output
from unrolled.cli.runs import Run
from unrolled.cli.tagging import class_lines

Data = Annotated[Path, Parameter(help="file or folder laid out as the training data was")]


def evaluate(run: Run, data: Data, /, *, output: Output = Output()) -> None:
    """Measure a run on a labelled file or a text."""
    from unrolled.tasks import open_run

    metrics = open_run(run).evaluate(data)
    text = metric_lines(metrics)
    if "confusion_matrix" in metrics:
        text += "\n\n" + matrix_lines(metrics["classes"], metrics["confusion_matrix"])
    if "per_class" in metrics:
        text += "\n\n" + class_lines(metrics["per_class"])
    if "baselines" in metrics:
        text = comparison_lines(metrics)
    output.result({"run": run, "data": data, "metrics": metrics}, text)


def metric_lines(metrics: Mapping[str, object]) -> str:
    """A line for each metric that is a number."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    wide = max(map(len, numbers), default=0)
    shown = {name: f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for name, value in numbers.items()}
    return "\n".join(f"{name:<{wide}}  {value}" for name, value in shown.items())


def matrix_lines(classes: Sequence[object], matrix: Sequence[Sequence[int]]) -> str:
    """A row for each true class; the columns are the answers in the same order, numbered to stay narrow."""
    names = [f"{place} {name}" for place, name in enumerate(classes, 1)]
    name_width = max(10, *map(len, names))
    width = max(len(str(number)) for number in (len(classes), *(count for row in matrix for count in row)))
    head = f"{'true class':<{name_width}}  " + " ".join(f"{place:>{width}}" for place in range(1, len(classes) + 1))
    rows = [
        f"{name:<{name_width}}  " + " ".join(f"{count:>{width}}" for count in row)
        for name, row in zip(names, matrix, strict=True)
    ]
    return "\n".join([head, *rows])
