"""The series in a file as a forecaster's stream: its rows one by one, when it begins, and what is known ahead."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.tasks.forecast import ForecastTask


def names_its_columns(model: ForecastTask, path: Path) -> bool:
    """Whether the first line of a file names the targets, so that the file is laid out as the training file was."""
    from unrolled.data.text import text_lines

    first = next(csv.reader(text_lines(str(path))), [])
    return set(model.reading.layout.targets) <= {name.strip() for name in first}


def observed(model: ForecastTask, path: Path, *, planned: bool) -> tuple[Iterator[Any], dict[str, Any]]:
    """The rows of the one series in a file, and the choices that its columns make. Raises DataError, UsageError.

    Each row brings what the file says of the steps after it, unless that was `planned` in another.
    """
    import numpy as np

    from unrolled.data.histories import read_histories

    histories = read_histories(path, model.reading.layout)
    if len(histories.series) > 1:
        raise UsageError(f"{path} holds {len(histories.series)} series, and a stream is one; give a file with one.")
    (history,) = histories.series
    choices: dict[str, Any] = {"series": history.name} if history.name else {}
    if history.times is not None and model.reading.step is not None:
        choices["start"] = model.reading.step.text(int(history.times[0]))
    known, horizon = history.known, model.shape.horizon
    rows = np.concatenate([history.targets, history.past, known[: len(history)]], 1)
    if model.reading.known is None or planned:
        return (row[None] for row in rows), choices
    return ({"rows": row[None], "ahead": known[k : k + horizon]} for k, row in enumerate(rows, 1)), choices


def ahead_of(model: ForecastTask, path: Path) -> list[list[float]]:
    """The columns of a table that a forecaster needs ahead. Raises DataError."""
    from unrolled.data.table import read_table
    from unrolled.data.targets import as_number, not_a_number

    table = read_table(path)
    names = model.reading.layout.known
    found = []
    for place, row in enumerate(table.rows):
        cells = [table.column(name)[place] for name in names]
        numbers = [as_number(cell) for cell in cells]
        bad = next((k for k, number in enumerate(numbers) if not isfinite(number)), None)
        if bad is not None:
            raise not_a_number(names[bad], cells[bad], path, row)
        found.append(numbers)
    return found
