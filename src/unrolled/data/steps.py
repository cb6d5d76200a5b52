"""Tables with a label a row: the rows are the steps of one sequence or of several; read whole, or row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unrolled.data.arrays import Exact, Flags, Numbers
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems, listed
from unrolled.data.table import Table, read_table
from unrolled.data.targets import as_number, not_a_number, number_columns
from unrolled.data.timestamps import DAY, as_time
from unrolled.errors import DataError

CLOCK = ("time of day, sine", "time of day, cosine", "weekend")
# Over fewer days the time of day only says where in the recording a row is.
_FEWEST_DAYS = 3.0
# A column that rises in every one of so many steps is a counter or a clock, and not a measurement.
_RISING = 30


@dataclass(frozen=True)
class Steps:
    """N sequences (T_n, F) float32 of named features with a label for each step.

    With `clock`, a column of time stamps, three features more come last, those of `CLOCK`. `keys` name the sequences
    (the file's name where no column does), `origins` say where they begin. `aside` are the columns that were not used,
    with the reason.
    """

    path: Path
    features: tuple[str, ...]
    sequences: list[Numbers] = field(repr=False)
    labels: list[tuple[str, ...]] = field(repr=False)
    keys: list[str] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    aside: dict[str, str] = field(default_factory=dict)
    clock: str | None = None
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)


def read_steps(
    path: str | Path,
    label: str | None = "label",
    *,
    sequence: str | None = None,
    features: Sequence[str] | None = None,
    clock: str | None = None,
    skip_bad: bool = False,
) -> Steps:
    """Read a table whose rows are steps, in the order of the file; `label=None` reads no labels.

    Rows with one value in the column `sequence` are one sequence, without it all rows are. `features` names the columns
    to use, and `clock` one of time stamps; without features these are all that hold numbers, but for counters and
    clocks, which rise in every step and which no other file repeats, and a column of time stamps over several days.
    Raises DataError with the row.
    """
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    groups = _groups(table, sequence)
    names = table.column(label) if label is not None else [""] * len(table)
    taken = {label, sequence, clock}
    aside: dict[str, str] = {}
    if features is None:
        free = [name for name in table.columns if name not in taken]
        features, clock, aside = _chosen(table, free, clock, list(groups.values()))
    if not features:
        raise DataError(f"no column of numbers is left beside {listed([str(t) for t in taken if t])}; add one", path)
    numbers, good = number_columns(table, features, problems)
    if clock is not None:
        numbers = np.concatenate((numbers, _clock_columns(table, clock, good, problems)), 1)
    for place, name in enumerate(names):
        if label is not None and not name.strip():
            sentence = f"the label in column {label!r} is empty; write one there or take the row out"
            problems.report(DataError(sentence, table.path, table.rows[place]))
            good[place] = False
    kept = {key: [p for p in places if good[p]] for key, places in groups.items()}
    kept = {key: places for key, places in kept.items() if places}
    if not kept:
        raise DataError("no row has usable numbers and a label; mend at least one", table.path)
    return Steps(
        table.path,
        tuple(features),
        [numbers[places].astype(np.float32) for places in kept.values()],
        [tuple(names[p].strip() for p in places) for places in kept.values()],
        list(kept),
        [Origin(table.path, table.rows[places[0]]) for places in kept.values()],
        aside,
        clock,
        tuple(problems.found),
    )


def _chosen(
    table: Table, free: Sequence[str], clock: str | None, groups: list[list[int]]
) -> tuple[list[str], str | None, dict[str, str]]:
    """The columns that are read, that of time stamps, and why the others are not."""
    aside = _unusable(table, free, groups)
    if clock is None:
        clock = next((name for name in free if name in aside and _days(table.column(name)) >= _FEWEST_DAYS), None)
        aside.pop(clock or "", None)
    return [name for name in free if name not in aside and name != clock], clock, aside


def clock_values(seconds: float) -> tuple[float, float, float]:
    """Time of day as sine and cosine, and whether it is Saturday or Sunday, of seconds since 1970."""
    angle = 2 * np.pi * (seconds % DAY) / DAY
    return float(np.sin(angle)), float(np.cos(angle)), float((seconds // DAY + 3) % 7 >= 5)


def _days(cells: Sequence[str]) -> float:
    """How many days the time stamps of a column span; 0 where one of the cells is none."""
    times = [as_time(cell) for cell in (cells[0], cells[-1])]
    if any(time is None or time[1] < 19 for time in times):
        return 0.0
    found = [as_time(cell) for cell in cells]
    seconds = [time[0] for time in found if time is not None]
    return (max(seconds) - min(seconds)) / DAY if len(seconds) == len(found) else 0.0


def _clock_columns(table: Table, name: str, good: Flags, problems: Problems) -> Exact:
    """`clock_values` of each row (N, 3); a row without a time is marked as bad."""
    found = np.zeros((len(table), len(CLOCK)))
    for place, cell in enumerate(table.column(name)):
        time = as_time(cell)
        if time is None:
            problems.report(_no_time(name, cell, table.path, table.rows[place]))
            good[place] = False
        else:
            found[place] = clock_values(time[0])
    return found


def _no_time(name: str, cell: str, path: Path, row: int) -> DataError:
    sentence = f"column {name!r} holds {cell[:40]!r}, and a time is needed; write it as 2024-03-31 18:00"
    return DataError(sentence, path, row)


def _groups(table: Table, sequence: str | None) -> dict[str, list[int]]:
    """The places of each sequence's rows, in the order of the file."""
    if sequence is None:
        return {table.path.stem: list(range(len(table)))}
    found: dict[str, list[int]] = {}
    for place, key in enumerate(table.column(sequence)):
        found.setdefault(key, []).append(place)
    return found


def _unusable(table: Table, columns: Sequence[str], groups: list[list[int]]) -> dict[str, str]:
    """Columns that are no measurement, with the reason: text throughout, or a number that rises in every step."""
    found = {}
    for name in columns:
        values = np.array([as_number(cell) for cell in table.column(name)])
        if np.isnan(values).all():
            found[name] = "it holds no numbers"
        elif _rises(values, groups):
            found[name] = "it rises in every step, as a counter or a clock does"
    return found


def _rises(values: Exact, groups: list[list[int]]) -> bool:
    steps = [np.diff(values[places]) for places in groups]
    return sum(map(len, steps)) >= _RISING and all(bool((step > 0).all()) for step in steps)


def step_stream(
    lines: Iterable[str], features: Sequence[str], sequence: str | None, path: Path, *, clock: str | None = None
) -> Iterator[tuple[int, str, Numbers]]:
    """Rows of a .csv as they come in: the row, the sequence it belongs to, and its features (F,).

    The first line names the columns. Raises DataError with the row.
    """
    rows = csv.reader(iter(lines), strict=True)
    try:
        header = [cell.strip() for cell in next(rows, [])]
        wanted = [*features, *(name for name in (clock, sequence) if name is not None)]
        if missing := [name for name in wanted if name not in header]:
            raise DataError(f"there is no column {missing[0]!r}; the columns are {listed(header)}", path, 1)
        places = [header.index(name) for name in wanted]
        for cells in rows:
            if not cells:
                continue
            row = rows.line_num
            if len(cells) != len(header):
                sentence = f"{len(cells)} cells where the first row names {len(header)} columns; mend the row"
                raise DataError(sentence, path, row)
            chosen = [cells[place] for place in places]
            values = _numbers(chosen, features, path, row)
            if clock is not None:
                values = np.append(values, _clock_of(chosen[len(features)], clock, path, row)).astype(np.float32)
            yield row, chosen[-1] if sequence is not None else "", values
    except csv.Error:
        raise DataError("the quotation marks of this row do not pair; mend the row", path, rows.line_num) from None


def _clock_of(cell: str, name: str, path: Path, row: int) -> tuple[float, float, float]:
    time = as_time(cell)
    if time is None:
        raise _no_time(name, cell, path, row)
    return clock_values(time[0])


def _numbers(cells: Sequence[str], names: Sequence[str], path: Path, row: int) -> Numbers:
    values = [as_number(cell) for cell in cells[: len(names)]]
    for name, cell, value in zip(names, cells, values, strict=False):
        if not abs(value) <= np.finfo(np.float32).max:
            raise not_a_number(name, cell, path, row)
    return np.array(values, dtype=np.float32)
