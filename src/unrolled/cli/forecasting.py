"""What `predict` and `evaluate` show of a run of `train forecast`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.cli.output import Output
from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.tasks.forecast import ForecastTask
    from unrolled.tasks.forecast_answers import Forecast


def forecast(
    model: ForecastTask, run: Path, source: str | None, literal: str | None, form: str, output: Output
) -> None:
    """Print what comes after the end of each series of a file: a row for each step of each target."""
    from unrolled.cli.predict import table
    from unrolled.data.histories import read_histories

    if source is None or source == "-" or literal is not None:
        raise UsageError("a forecast needs the file that the series are in, not standard input or --literal.")
    histories = read_histories(source, model.reading.layout)
    rows = [row for found in model.forecast(histories) for row in _rows(found, model.levels)]
    data = {"run": run, "horizon": model.shape.horizon, "predictions": rows}
    as_json = Output(json=output.json or form == "json", quiet=output.quiet)
    as_json.result(data, table(rows) if form == "csv" else _text(rows))


def _rows(found: Forecast, levels: tuple[float, ...]) -> list[dict[str, Any]]:
    """A row a step: the series, the target, the time (or the step's number), the forecast and its quantiles."""
    names = [f"q{level:g}" for level in levels]
    head = {"series": found.series} if found.series else {}
    head |= {"target": found.target} if found.target else {}
    return [
        {
            **head,
            **({"time": found.times[step]} if found.times is not None else {"step": step + 1}),
            "values": {"forecast": float(value), **dict(zip(names, map(float, found.quantiles[step]), strict=True))},
        }
        for step, value in enumerate(found.values)
    ]


def _text(rows: list[dict[str, Any]]) -> str:
    """Columns that a reader can follow, the quantiles named once."""
    flat = [{k: v for k, v in row.items() if k != "values"} | row["values"] for row in rows]
    cells = [[_cell(value) for value in row.values()] for row in flat]
    names = list(flat[0])
    wide = [max(len(name), *(len(row[place]) for row in cells)) for place, name in enumerate(names)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, wide, strict=True)) for row in [names, *cells]
    )


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def comparison_lines(metrics: Mapping[str, Any]) -> str:
    """The model beside the simplest forecasts, and what that comes to in words."""
    from unrolled.tasks.forecast_report import comparison_table

    rows = {"model": metrics, **metrics["baselines"]}
    return "\n".join([f"{metrics['windows']:,} forecasts", "", comparison_table(rows), "", *metrics["verdict"]])
