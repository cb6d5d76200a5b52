"""`unrolled evaluate RUN DATA`: the task's metrics on a labelled file or a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.cli.runs import Run

Data = Annotated[Path, Parameter(help="file or folder laid out as the training data was")]


def evaluate(run: Run, data: Data, /, *, output: Output = Output()) -> None:
    """Measure a run on a labelled file or a text."""
    from unrolled.tasks import open_run

    metrics = open_run(run).evaluate(data)
    output.result({"run": run, "data": data, "metrics": metrics}, metric_lines(metrics))


def metric_lines(metrics: dict[str, object]) -> str:
    """A line for each metric that is a number."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    wide = max(map(len, numbers), default=0)
    return "\n".join(f"{name:<{wide}}  {value:.4f}" for name, value in numbers.items())
