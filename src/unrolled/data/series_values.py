"""Cells to numbers and times, and what a series must be: what the readers of labelled series share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unrolled.data.arrays import Exact, Numbers
from unrolled.data.targets import as_number
from unrolled.errors import DataError

INTERVAL = "interval"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class SeriesColumns:
    """What of a file is what.

    - `label`: the column or array of labels; None reads none.
    - `sequence`: the column of a long table that names the sequence a row is a step of.
    - `time`: the column of a long table with the time of each step, a number or a date; ln(1 + the time since the step
      before) becomes a feature.
    - `inputs`: the column whose cells are lists of numbers, or the array of an .npz file, "x" by default.
    - `missing`: a word that stands for a missing value beside empty cells and "?".
    - `features`: the columns to use, in this order; by default all others.
    """

    label: str | None = "label"
    sequence: str | None = None
    time: str | None = None
    inputs: str | None = None
    missing: str | None = None
    features: tuple[str, ...] | None = None
    aside: tuple[str, ...] = ()


class Found(NamedTuple):
    """What a reader has found: names of the numbers, and of each series its values, its label and its row."""

    features: tuple[str, ...]
    sequences: list[Numbers]
    labels: list[str]
    rows: list[int]


def as_times(cells: Sequence[str], name: str, path: Path, rows: Sequence[int]) -> Exact:
    """Times as numbers; of dates, the seconds since 1970. Raises DataError for what is neither."""
    found = np.empty(len(cells))
    for place, cell in enumerate(cells):
        moment = as_number(cell)
        if not np.isfinite(moment):
            try:
                date = datetime.fromisoformat(cell.strip())
            except ValueError:
                raise DataError(
                    f"column {name!r} holds {cell[:40]!r}, and a time is needed; write a number or a date as "
                    "2024-03-31 18:00",
                    path,
                    rows[place],
                ) from None
            moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        found[place] = moment
    return found


def check_order(times: Exact, path: Path, rows: Sequence[int], cells: Sequence[str]) -> None:
    """Raises DataError where time does not go on from step to step."""
    steps = np.diff(times)
    if (steps <= 0).any():
        place = int(np.argmax(steps <= 0)) + 1
        what = "occurs twice" if steps[place - 1] == 0 else f"comes after {cells[place - 1].strip()!r}"
        raise DataError(
            f"the time {cells[place].strip()!r} {what} in one sequence, and time must go on from step to step; "
            "sort the rows and leave one of each time",
            path,
            rows[place],
        )


def intervals(moments: Exact) -> Exact:
    """ln(1 + the time since the step before), 0 for the first."""
    return np.log1p(np.diff(moments, prepend=moments[:1]))


def missing_words(columns: SeriesColumns, *more: str) -> frozenset[str]:
    """The words that stand for a missing value, in small letters."""
    return frozenset(("", "?", *more, *(() if columns.missing is None else (columns.missing.strip().lower(),))))


def as_numbers(
    cells: Iterable[str], words: frozenset[str], path: Path, row: int, names: Sequence[str] | None = None
) -> Exact:
    """Cells as finite numbers, NaN where one of the words stands; DataError for anything else."""
    listed_cells = list(cells)
    try:
        fast = np.array(listed_cells, dtype=np.float64)
        if (np.abs(fast) <= _LARGEST).all() and not any(np.isfinite(as_number(word)) for word in words):
            return fast
    except ValueError:
        pass  # a cell is missing, or no number: one by one
    return np.array(list(_one_by_one(listed_cells, words, path, row, names)), dtype=np.float64)


def _one_by_one(
    cells: Sequence[str], words: frozenset[str], path: Path, row: int, names: Sequence[str] | None
) -> Iterator[float]:
    for place, cell in enumerate(cells):
        if cell.strip().lower() in words:
            yield float("nan")
            continue
        value = as_number(cell)
        if not abs(value) <= _LARGEST:
            where = f"value {place + 1}" if names is None else f"column {names[place]!r}"
            raise DataError(
                f"{where} is {cell.strip()[:40]!r}, and a finite number is needed; write one, leave the place empty "
                "if the value is missing, or name such words with --missing",
                path,
                row,
            )
        yield value


def as_series(values: Exact, path: Path, row: int) -> Numbers:
    """(T, F) in float32. Raises DataError where all of it is missing."""
    if not np.isfinite(values).any():
        raise DataError("the series holds no number; write at least one or take it out", path, row)
    return values.astype(np.float32)


def check_width(sequence: Numbers, before: Sequence[Numbers], path: Path, row: int) -> None:
    """Raises DataError for other features than the first series has."""
    if before and sequence.shape[1] != before[0].shape[1]:
        raise DataError(
            f"{sequence.shape[1]} numbers a step where the first series has {before[0].shape[1]}; give all the same",
            path,
            row,
        )
