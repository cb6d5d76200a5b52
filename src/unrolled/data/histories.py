"""Series in time to be forecast: a row a time step (one series, many columns, or long), or a row a series (M4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.arrays import Exact, Flags, Ids
from unrolled.data.problems import Problems
from unrolled.data.table import Table, read_table
from unrolled.data.targets import as_number, not_a_number
from unrolled.data.timestamps import Step, as_time, common_step, parse_times
from unrolled.errors import DataError

LAYOUTS = ("auto", "columns", "rows")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Layout:
    """What the columns of a file are. `rows`: a row is a series and its cells are the steps, its name first."""

    time: str | None = None
    series: str | None = None
    targets: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    rows: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Layout:
        """What `to_json` wrote; DataError for anything else."""
        names = {"time", "series", "targets", "past", "known", "rows"}
        if not isinstance(data, dict) or set(data) != names or type(data["rows"]) is not bool:
            raise DataError("the layout of a table lacks entries or has strange ones; restore the file")
        columns = {name: data[name] for name in ("targets", "past", "known")}
        lists = all(isinstance(found, list | tuple) for found in columns.values())
        texts = [data["time"], data["series"]]
        if not lists or any(not isinstance(name, str) for group in columns.values() for name in group):
            raise DataError("the layout of a table names columns that are no texts; restore the file")
        if any(not isinstance(text, str | None) for text in texts):
            raise DataError("the layout of a table names columns that are no texts; restore the file")
        return cls(**{**data, **{name: tuple(found) for name, found in columns.items()}})


@dataclass(frozen=True)
class History:
    """One series of T steps: targets (T, K), NaN where one is missing, past (T, P) and known (T + F, Q) covariates.

    `times` (T + F,) are seconds since 1970 or whole numbers; F further steps have known covariates alone. `row` is
    where the series begins in its file.
    """

    name: str
    targets: Exact = field(repr=False)
    past: Exact = field(repr=False)
    known: Exact = field(repr=False)
    times: Ids | None = field(default=None, repr=False)
    row: int | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def ahead(self) -> int:
        """Steps beyond the last target that the file has covariates for."""
        return len(self.known) - len(self.targets)


@dataclass(frozen=True)
class Histories:
    """The series of a file, their layout with all names filled in, and the step between their times."""

    path: Path
    layout: Layout
    series: list[History] = field(repr=False)
    step: Step | None = None
    remarks: tuple[str, ...] = ()
    skipped: tuple[DataError, ...] = ()


def read_histories(
    path: str | Path, layout: Layout = Layout(), *, form: str = "auto", skip_bad: bool = False
) -> Histories:
    """Read a table of series. Rows at the end whose targets are blank are future steps for the known covariates.

    `form` is one of `LAYOUTS`; "auto" takes a table whose first cells are names, with no other column named, as a row a
    series. Missing steps of time become missing targets, which is remarked upon. Raises DataError with the row for what
    is no finite number, for times that are no times, twice there, not ascending or off the common step.
    """
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    if layout.rows or form == "rows" or (form == "auto" and _looks_like_rows(table, layout)):
        return _by_row(table, replace(layout, rows=True), problems)
    return _by_column(table, layout, problems)


def _looks_like_rows(table: Table, layout: Layout) -> bool:
    """Names in the first column, each once, and nothing but numbers, or blanks at the end, beside them."""
    if any((layout.time, layout.series, layout.targets, layout.past, layout.known)) or len(table.columns) < 3:
        return False
    names = [record[0] for record in table.records]
    named = all(np.isnan(as_number(name)) and as_time(name) is None for name in names)
    return named and len(set(names)) == len(names)


def _by_row(table: Table, layout: Layout, problems: Problems) -> Histories:
    """M4's form: a name, then the values from first to last, blanks after the last."""
    series: list[History] = []
    seen: dict[str, int] = {}
    for record, row in zip(table.records, table.rows, strict=True):
        name, cells = record[0], record[1:]
        try:
            if name in seen:
                raise DataError(
                    f"the series {name!r} is in row {seen[name]} already; give each one row", table.path, row
                )
            values = _cells_of(cells, table, row)
        except DataError as error:
            problems.report(error)
            continue
        seen[name] = row
        empty = np.empty((len(values), 0))
        series.append(History(name, values[:, None], empty, empty, None, row))
    layout = replace(layout, targets=("value",))
    return Histories(table.path, layout, _some(series, table), None, (), tuple(problems.found))


def _cells_of(cells: Sequence[str], table: Table, row: int) -> Exact:
    end = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
    if not end:
        raise DataError("the series has no number; write at least one or take the row out", table.path, row)
    values = np.array([as_number(cell) for cell in cells[:end]])
    bad = np.flatnonzero(~(np.abs(values) <= _LARGEST))
    if bad.size:
        raise not_a_number(table.columns[int(bad[0]) + 1], cells[bad[0]], table.path, row)
    return values


def _by_column(table: Table, layout: Layout, problems: Problems) -> Histories:
    layout, remarks = _filled(table, layout)
    times, good, digits = _times_of(table, layout, problems)
    blank: Flags = np.asarray(_blanks(table, layout.targets).all(1))
    targets, fine = _numbers(table, layout.targets, problems, blank)
    # Of a future step nothing but the known covariates has to be there.
    past, seen = _numbers(table, layout.past, problems, blank)
    known, usable = _numbers(table, layout.known, problems, np.zeros_like(blank))
    keys = [""] * len(table) if layout.series is None else table.column(layout.series)
    members: dict[str, list[int]] = {}
    for place in np.flatnonzero(good & fine & seen & usable).tolist():
        members.setdefault(keys[place], []).append(place)
    if times is not None:
        members = {key: _ascending(places, times, table, layout, problems) for key, places in members.items()}
    step = None
    if times is not None and members:
        step = common_step([times[places] for places in members.values()], digits, table.path)
    series: list[History] = []
    filled = 0
    for key, places in members.items():
        rows = [table.rows[place] for place in places]
        ends = _last_target(blank[places], table, rows, layout, problems)
        if ends == 0:
            continue
        values = np.concatenate([targets[places], past[places], known[places]], 1)
        values[ends:, : len(layout.targets)] = np.nan
        stamps = None if times is None else times[places]
        if step is not None and stamps is not None:
            values, stamps, ends, more = _on_the_grid(values, stamps, ends, step, table, rows)
            filled += more
        series.append(_history(key, values, stamps, ends, layout, rows[0]))
    if filled:
        remarks.append(f"{filled:,} steps of time are missing and read as unknown values, never counted as truth")
    return Histories(table.path, layout, _some(series, table), step, tuple(remarks), tuple(problems.found))


def _filled(table: Table, layout: Layout) -> tuple[Layout, list[str]]:
    """The layout with its time column found and its targets named, and what was guessed."""
    remarks: list[str] = []
    named = {layout.series, *layout.targets, *layout.past, *layout.known}
    for name in [name for name in (layout.time, *named) if name is not None]:
        table.position(name)
    if layout.time is None:
        first = table.columns[0]
        if first not in named and np.isnan(as_number(table.records[0][0])) and as_time(table.records[0][0]) is not None:
            layout = replace(layout, time=first)
            remarks.append(f"the times are those of the column {first!r}")
    if not layout.targets:
        named |= {layout.time}
        layout = replace(layout, targets=tuple(name for name in table.columns if name not in named))
        if not layout.targets:
            raise DataError("no column is left to be forecast; name it as the target", table.path)
    several = [layout.time, layout.series, *layout.targets, *layout.past, *layout.known]
    twice = next((name for name in several if name is not None and several.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"the column {twice!r} is named for two things; name it for one", table.path)
    return layout, remarks


def _times_of(table: Table, layout: Layout, problems: Problems) -> tuple[Ids | None, Flags, int | None]:
    if layout.time is None:
        return None, np.ones(len(table), dtype=bool), None
    return parse_times(table.column(layout.time), layout.time, table.path, table.rows, problems)


def _blanks(table: Table, names: Sequence[str]) -> Flags:
    """Which cells of these columns hold nothing, (N, K)."""
    cells = [[not cell.strip() for cell in table.column(name)] for name in names]
    return np.array(cells, dtype=bool).reshape(len(names), len(table)).T


def _numbers(table: Table, names: Sequence[str], problems: Problems, free: Flags) -> tuple[Exact, Flags]:
    """The columns (N, K), and which rows (N,) hold numbers in all of them; cells of `free` rows may be blank, NaN."""
    numbers = np.empty((len(table), len(names)))
    for place, name in enumerate(names):
        numbers[:, place] = [as_number(cell) for cell in table.column(name)]
    good = np.ones(len(table), dtype=bool)
    usable = (np.abs(numbers) <= _LARGEST) | (free[:, None] & _blanks(table, names))
    for row in np.flatnonzero(~usable.all(1)).tolist():
        column = int(np.flatnonzero(~usable[row])[0])
        cell = table.records[row][table.position(names[column])]
        problems.report(not_a_number(names[column], cell, table.path, table.rows[row]))
        good[row] = False
    return numbers, good


def _ascending(places: list[int], times: Ids, table: Table, layout: Layout, problems: Problems) -> list[int]:
    """The rows of one series whose times ascend; the others are bad rows."""
    kept: list[int] = []
    for place in places:
        if kept and times[place] <= times[kept[-1]]:
            cell, before = (table.records[k][table.position(str(layout.time))] for k in (place, kept[-1]))
            last = table.rows[kept[-1]]
            what = f"is the time of row {last} too" if cell == before else f"comes after {before!r} in row {last}"
            whose = "" if layout.series is None else f" of one series ({layout.series})"
            advice = "sort the rows by time" if times[place] < times[kept[-1]] else "keep one row for each time"
            problems.report(DataError(f"the time {cell!r} {what}{whose}; {advice}", table.path, table.rows[place]))
            continue
        kept.append(place)
    return kept


def _last_target(blank: Flags, table: Table, rows: list[int], layout: Layout, problems: Problems) -> int:
    """How many rows have targets; the rest are future steps. A blank row among the others is a bad one."""
    ends = int(np.flatnonzero(~blank)[-1]) + 1 if not blank.all() else 0
    for place in np.flatnonzero(blank[:ends]).tolist():
        problems.report(not_a_number(layout.targets[0], "", table.path, rows[place]))
    if not ends:
        problems.report(
            DataError("the series has no number to learn from; write some or take it out", table.path, rows[0])
        )
    return ends


def _on_the_grid(
    values: Exact, times: Ids, ends: int, step: Step, table: Table, rows: list[int]
) -> tuple[Exact, Ids, int, int]:
    """Rows at equal steps of time, NaN where a step was missing; also how many were."""
    exact = step.places(times)
    places = np.rint(exact).astype(np.int64)
    off = np.flatnonzero(np.abs(exact - places) > 1e-9)
    if off.size:
        raise DataError(
            f"the time {step.text(int(times[off[0]]))} is off the step of {step.name} that the other rows keep; "
            "bring the rows to equal steps of time",
            table.path,
            rows[off[0]],
        )
    size = int(places[-1]) + 1
    missing = size - len(places)
    if missing > len(places):
        widest = int(np.diff(places).argmax()) + 1
        raise DataError(
            f"{int(np.diff(places).max()) - 1:,} steps of {step.name} are missing before this row, more than can be "
            "filled in; leave the rows before the gap out, or make two series of them",
            table.path,
            rows[widest],
        )
    if not missing:
        return values, times, ends, 0
    whole = np.full((size, values.shape[1]), np.nan)
    whole[places] = values
    return whole, np.concatenate([times[:1], step.after(int(times[0]), size - 1)]), int(places[ends - 1]) + 1, missing


def _history(name: str, values: Exact, times: Ids | None, ends: int, layout: Layout, row: int) -> History:
    count, past = len(layout.targets), len(layout.past)
    covariates = bridged(values[:, count:])
    return History(name, values[:ends, :count], covariates[:ends, :past], covariates[:, past:], times, row)


def bridged(values: Exact) -> Exact:
    """Columns (T, K) with each NaN on the straight line between its neighbours, level at the ends; 0 without any."""
    found = values.copy()
    for column in found.T:
        missing = np.isnan(column)
        if missing.all():
            column[:] = 0.0
        elif missing.any():
            places = np.arange(len(column))
            column[missing] = np.interp(places[missing], places[~missing], column[~missing])
    return found


def _some(series: list[History], table: Table) -> list[History]:
    if not series:
        raise DataError("no series can be used; mend at least one row", table.path)
    return series
