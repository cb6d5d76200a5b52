"""Series of numbers with a label each: `.ts` files of UCR and UEA, long and wide tables, `.npz` arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unrolled.data.archive import cut, load_arrays
from unrolled.data.arrays import Exact, Numbers
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.series import listed_numbers
from unrolled.data.series_values import (
    INTERVAL,
    Found,
    SeriesColumns,
    as_numbers,
    as_series,
    as_times,
    check_order,
    check_width,
    intervals,
    missing_words,
)
from unrolled.data.table import Table, read_table
from unrolled.data.text import suffix_of
from unrolled.data.ts import read_ts
from unrolled.errors import DataError


@dataclass(frozen=True)
class LabelledSeries:
    """N sequences (T_n, F) float32 in which NaN is a missing value, and a label each; `labels` is empty where none are.

    `features` are the names of the F numbers, `origins` say where each sequence begins.
    """

    path: Path
    features: tuple[str, ...]
    sequences: list[Numbers] = field(repr=False)
    labels: list[str] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def missing(self) -> int:
        """How many values are missing."""
        return int(sum(np.isnan(sequence).sum() for sequence in self.sequences))


def read_labelled_series(
    path: str | Path, columns: SeriesColumns = SeriesColumns(), *, skip_bad: bool = False
) -> LabelledSeries:
    """Read sequences of numbers, of unlike lengths, with missing values, and the label of each.

    - `.ts`: a line a sequence, channels between colons, the label last; with time stamps as (time,value).
    - `.npz`: the array `inputs` (N, T) or (N, T, F), the array `label` (N,), and "lengths" (N,) if it is there.
    - a table with `sequence`: a row a step; one with `inputs`: a list a row; any other: a row a sequence of one
      feature, a column a step, empty cells at the end make it shorter.

    Raises DataError with the row for numbers that are none or not finite, time that does not go on, unlike channels.
    """
    path = Path(path)
    problems = Problems(skip_bad)
    suffix = suffix_of(path)
    if suffix == ".ts":
        found = read_ts(path, columns, problems)
    elif suffix == ".npz":
        found = _from_archive(path, columns, problems)
    else:
        table = read_table(path, skip_bad=skip_bad)
        problems.found.extend(table.skipped)
        found = _from_long(table, columns, problems) if columns.sequence else _from_rows(table, columns, problems)
    if not found.sequences:
        raise DataError("no series can be used here; give at least one with a number in it", path)
    origins = [Origin(path, row) for row in found.rows]
    return LabelledSeries(path, found.features, found.sequences, found.labels, origins, tuple(problems.found))


def _from_archive(path: Path, columns: SeriesColumns, problems: Problems) -> Found:
    inputs = columns.inputs or "x"
    arrays = load_arrays(path, (inputs,) if columns.label is None else (inputs, columns.label))
    values = arrays[inputs]
    if values.ndim not in (2, 3) or not values.size or values.dtype.kind not in "biuf":
        raise DataError(
            f"array {inputs!r} has shape {values.shape} of {values.dtype}; give numbers (sequences, steps) or "
            "(sequences, steps, features)",
            path,
        )
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    whole = list(numbers if numbers.ndim == 3 else numbers[:, :, None])
    whole = cut(whole, arrays["lengths"], path) if "lengths" in arrays else whole
    labels = [] if columns.label is None else _array_labels(arrays[columns.label], columns.label, len(whole), path)
    kept = []
    for place, sequence in enumerate(whole):
        bad = np.isinf(sequence) if "nan" in missing_words(columns) else ~np.isfinite(sequence)
        if bad.any():
            step, feature = np.argwhere(bad)[0].tolist()
            problems.report(DataError(
                f"array {inputs!r} is {sequence[step, feature]} at step {step + 1}, feature {feature + 1} of this "
                "series; mend it, or give --missing nan where NaN stands for a missing value", path, place + 1,
            ))  # fmt: skip
        else:
            kept.append(place)
    names = tuple(f"{inputs} {place}" for place in range(1, numbers.shape[2] + 1 if numbers.ndim == 3 else 2))
    return Found(
        names, [whole[place] for place in kept], [labels[p] for p in kept] if labels else [], [p + 1 for p in kept]
    )


def _array_labels(labels: npt.NDArray[np.generic], name: str, count: int, path: Path) -> list[str]:
    if labels.shape != (count,) or labels.dtype.kind not in "biuUS":
        raise DataError(
            f"array {name!r} has shape {labels.shape} of {labels.dtype} for {count} series; give a word or a whole "
            "number for each",
            path,
        )
    return [label.decode() if isinstance(label, bytes) else str(label) for label in labels.tolist()]


def _from_rows(table: Table, columns: SeriesColumns, problems: Problems) -> Found:
    """A row a sequence: its columns are the steps, or one cell lists them."""
    taken = {columns.label, *columns.aside}
    used = columns.features or tuple(name for name in table.columns if name not in taken)
    positions = [table.position(columns.inputs)] if columns.inputs else [table.position(name) for name in used]
    words = missing_words(columns)
    sequences: list[Numbers] = []
    labels: list[str] = []
    rows: list[int] = []
    for record, row, label in zip(table.records, table.rows, _labels(table, columns), strict=True):
        cells = [record[position] for position in positions]
        try:
            _check_label(label, columns, table.path, row)
            if columns.inputs:
                sequence = listed_numbers(cells[0], columns.inputs, table.path, row)
            else:
                end = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
                values = as_numbers(cells[:end], words, table.path, row, used)
                sequence = as_series(values[:, None], table.path, row)
            check_width(sequence, sequences, table.path, row)
        except DataError as error:
            problems.report(error)
            continue
        sequences.append(sequence)
        labels.append(label)
        rows.append(row)
    width = sequences[0].shape[1] if sequences else 1
    names = tuple(f"{columns.inputs} {place}" for place in range(1, width + 1)) if columns.inputs else ("value",)
    return Found(names, sequences, labels if columns.label else [], rows)


def _from_long(table: Table, columns: SeriesColumns, problems: Problems) -> Found:
    taken = {columns.label, columns.sequence, columns.time, *columns.aside}
    used = columns.features or tuple(name for name in table.columns if name not in taken)
    if not used:
        raise DataError("no column is left to hold the numbers; name fewer or add columns of numbers", table.path)
    members: dict[str, list[int]] = {}
    for place, key in enumerate(table.column(str(columns.sequence))):
        members.setdefault(key, []).append(place)
    cells, words = [table.column(name) for name in used], missing_words(columns)
    labels, times = _labels(table, columns), None if columns.time is None else table.column(columns.time)
    numbers, good = _number_table(cells, used, words, table, problems)
    found = Found((*used, *((INTERVAL,) if times else ())), [], [], [])
    for key, whole in members.items():
        places = [place for place in whole if good[place]]
        try:
            places = _check_steps(key, places, labels, (table, columns), problems)
            steps = numbers[places]
            if times is not None:
                places, since = _ordered(places, times, (table, columns), problems)
                steps = np.column_stack([numbers[places], since])
            found.sequences.append(as_series(steps, table.path, table.rows[whole[0]]))
        except DataError as error:
            problems.report(error)
            continue
        found.labels.append(labels[places[0]])
        found.rows.append(table.rows[places[0]])
    return found if columns.label else found._replace(labels=[])


def _number_table(
    cells: Sequence[Sequence[str]], used: Sequence[str], words: frozenset[str], table: Table, problems: Problems
) -> tuple[Exact, npt.NDArray[np.bool_]]:
    """The columns (N, F) with NaN where a value is missing, and which rows are in order."""
    numbers, good = np.empty((len(table), len(used))), np.ones(len(table), dtype=bool)
    for place, (name, column) in enumerate(zip(used, cells, strict=True)):
        try:
            numbers[:, place] = as_numbers(column, words, table.path, table.rows[0])
        except DataError:
            for row, cell in enumerate(column):
                try:
                    numbers[row, place] = as_numbers([cell], words, table.path, table.rows[row], (name,))[0]
                except DataError as error:
                    problems.report(error)
                    good[row] = False
    return numbers, good


def _check_steps(
    key: str, places: list[int], labels: Sequence[str], where: tuple[Table, SeriesColumns], problems: Problems
) -> list[int]:
    """The steps of one sequence, which must have one label."""
    table, columns = where
    if not places:
        raise DataError(f"no row of {columns.sequence} {key!r} can be used; mend one", table.path)
    first = places[0]
    _check_label(labels[first], columns, table.path, table.rows[first])
    for place in places:
        if labels[place] != labels[first]:
            raise DataError(
                f"the label of {columns.sequence} {key!r} is {labels[place]!r} here and {labels[first]!r} in row "
                f"{table.rows[first]}, and a sequence has one; write the same in all its rows",
                table.path,
                table.rows[place],
            )
    return places


def _ordered(
    places: list[int], cells: Sequence[str], where: tuple[Table, SeriesColumns], problems: Problems
) -> tuple[list[int], Exact]:
    """The steps whose time goes on, and ln(1 + the time since the step before), 0 for the first."""
    table, columns = where
    kept: list[int] = []
    moments: list[float] = []
    for place in places:
        row = table.rows[place]
        try:
            moment = float(as_times([cells[place]], str(columns.time), table.path, [row])[0])
            if kept:
                both = [cells[kept[-1]], cells[place]]
                check_order(np.array([moments[-1], moment]), table.path, [row, row], both)
        except DataError as error:
            problems.report(error)
            continue
        kept.append(place)
        moments.append(moment)
    if not kept:
        raise DataError("no row of this sequence has a time; write one", table.path, table.rows[places[0]])
    return kept, intervals(np.array(moments))


def _labels(table: Table, columns: SeriesColumns) -> list[str]:
    if columns.label is None:
        return [""] * len(table)
    return [cell.strip() for cell in table.column(columns.label)]


def _check_label(label: str, columns: SeriesColumns, path: Path, row: int) -> None:
    if columns.label is not None and not label:
        raise DataError(f"the label in column {columns.label!r} is empty; write one or take the row out", path, row)
