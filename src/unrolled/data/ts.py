"""Series of numbers with a label each: `.ts` files of UCR and UEA, long and wide tables, `.npz` arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.data.archive import cut, load_arrays
from unrolled.data.arrays import Exact, Numbers, interpolated
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems, listed, quoted
from unrolled.data.series import listed_numbers
from unrolled.data.table import Table, read_table
from unrolled.data.targets import as_number
from unrolled.data.text import read_text, suffix_of
from unrolled.errors import DataError

INTERVAL = "interval"
_LARGEST = float(np.finfo(np.float32).max)
_BETWEEN_CHANNELS = re.compile(r":(?![^(]*\))")
_PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")


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


class _Found(NamedTuple):
    features: tuple[str, ...]
    sequences: list[Numbers]
    labels: list[str]
    rows: list[int]


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
        found = _from_ts(path, columns, problems)
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


def _from_ts(path: Path, columns: SeriesColumns, problems: Problems) -> _Found:
    head, lines = _ts_parts(path)
    labelled = head.get("classlabel", "false").split()[0].lower() == "true"
    if columns.label is not None and not labelled:
        raise DataError("the file has no class labels (@classLabel true ...); give one that has", path)
    known = head.get("classlabel", "").split()[1:]
    stamped = head.get("timestamps", "false").lower() == "true"
    nan_is_missing = head.get("missing", "false").lower() == "true"
    words = _missing_words(columns, *(("nan",) if nan_is_missing else ()))
    sequences: list[Numbers] = []
    labels: list[str] = []
    rows: list[int] = []
    for row, line in lines:
        try:
            channels = _BETWEEN_CHANNELS.split(line)
            label = channels.pop().strip() if labelled else ""
            if not channels:
                raise DataError("the line holds a label and no series; write its numbers in front", path, row)
            if known and label not in known:
                sentence = f"the label {quoted(label)} is none of @classLabel ({listed(known)}); correct it"
                raise DataError(sentence, path, row)
            sequence = _stamped(channels, words, path, row) if stamped else _channels(channels, words, path, row)
            _check_width(sequence, sequences, path, row)
        except DataError as error:
            problems.report(error)
            continue
        sequences.append(sequence)
        labels.append(label)
        rows.append(row)
    width = sequences[0].shape[1] if sequences else 0
    names = tuple(f"channel {place}" for place in range(1, width + 1 - stamped))
    return _Found((*names, *((INTERVAL,) if stamped else ())), sequences, labels, rows)


def _ts_parts(path: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The entries of the head by their names in small letters, and the numbered lines of data."""
    head: dict[str, str] = {}
    lines = enumerate(read_text(path).split("\n"), 1)
    for row, line in lines:
        line = line.strip()
        if line.lower() == "@data":
            return head, [(row, line.strip()) for row, line in lines if line.strip() and not line.startswith("#")]
        if line.startswith("@"):
            name, _, value = line[1:].partition(" ")
            head[name.lower()] = value.strip() or "false"
        elif line and not line.startswith("#"):
            raise DataError("a line of data comes before @data; write @data above the first", path, row)
    raise DataError("the file has no line @data, which every .ts file has; give a file in the .ts format", path)


def _channels(channels: Sequence[str], words: frozenset[str], path: Path, row: int) -> Numbers:
    values = [_values(channel.split(","), words, path, row) for channel in channels]
    lengths = [len(channel) for channel in values]
    if len(set(lengths)) > 1:
        raise DataError(f"the channels have {_once(lengths)} steps, and a series has one number of them; "
                        "mend the line", path, row)  # fmt: skip
    return _sequence(np.stack(values, 1), path, row)


def _once(lengths: Sequence[int]) -> str:
    """Unlike lengths, each once."""
    return ", ".join(map(str, sorted(set(lengths))))


def _stamped(channels: Sequence[str], words: frozenset[str], path: Path, row: int) -> Numbers:
    """Channels of (time,value), which may have times of their own, on all the times that there are."""
    by_channel = []
    for channel in channels:
        pairs = _PAIR.findall(channel)
        if not pairs:
            raise DataError("a channel holds no (time,value), and @timeStamps is true; mend the line", path, row)
        times = _times([time for time, _ in pairs], "time", path, [row] * len(pairs))
        _check_order(times, path, [row] * len(pairs), [time for time, _ in pairs])
        by_channel.append((times, _values([value for _, value in pairs], words, path, row)))
    moments = np.unique(np.concatenate([times for times, _ in by_channel]))
    found = np.full((len(moments), len(by_channel) + 1), np.nan)
    for place, (times, values) in enumerate(by_channel):
        found[np.searchsorted(moments, times), place] = values
    found[:, -1] = _intervals(moments)
    return _sequence(found, path, row)


def _from_archive(path: Path, columns: SeriesColumns, problems: Problems) -> _Found:
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
        bad = np.isinf(sequence) if "nan" in _missing_words(columns) else ~np.isfinite(sequence)
        if bad.any():
            step, feature = np.argwhere(bad)[0].tolist()
            problems.report(DataError(
                f"array {inputs!r} is {sequence[step, feature]} at step {step + 1}, feature {feature + 1} of this "
                "series; mend it, or give --missing nan where NaN stands for a missing value", path, place + 1,
            ))  # fmt: skip
        else:
            kept.append(place)
    names = tuple(f"{inputs} {place}" for place in range(1, numbers.shape[2] + 1 if numbers.ndim == 3 else 2))
    return _Found(
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


def _from_rows(table: Table, columns: SeriesColumns, problems: Problems) -> _Found:
    """A row a sequence: its columns are the steps, or one cell lists them."""
    taken = {columns.label, *columns.aside}
    used = columns.features or tuple(name for name in table.columns if name not in taken)
    positions = [table.position(columns.inputs)] if columns.inputs else [table.position(name) for name in used]
    words = _missing_words(columns)
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
                values = _values(cells[:end], words, table.path, row, used)
                sequence = _sequence(values[:, None], table.path, row)
            _check_width(sequence, sequences, table.path, row)
        except DataError as error:
            problems.report(error)
            continue
        sequences.append(sequence)
        labels.append(label)
        rows.append(row)
    width = sequences[0].shape[1] if sequences else 1
    names = tuple(f"{columns.inputs} {place}" for place in range(1, width + 1)) if columns.inputs else ("value",)
    return _Found(names, sequences, labels if columns.label else [], rows)


def _from_long(table: Table, columns: SeriesColumns, problems: Problems) -> _Found:
    taken = {columns.label, columns.sequence, columns.time, *columns.aside}
    used = columns.features or tuple(name for name in table.columns if name not in taken)
    if not used:
        raise DataError("no column is left to hold the numbers; name fewer or add columns of numbers", table.path)
    members: dict[str, list[int]] = {}
    for place, key in enumerate(table.column(str(columns.sequence))):
        members.setdefault(key, []).append(place)
    cells, words = [table.column(name) for name in used], _missing_words(columns)
    labels, times = _labels(table, columns), None if columns.time is None else table.column(columns.time)
    numbers, good = _number_table(cells, used, words, table, problems)
    found = _Found((*used, *((INTERVAL,) if times else ())), [], [], [])
    for key, whole in members.items():
        places = [place for place in whole if good[place]]
        try:
            places = _check_steps(key, places, labels, (table, columns), problems)
            steps = numbers[places]
            if times is not None:
                places, since = _ordered(places, times, (table, columns), problems)
                steps = np.column_stack([numbers[places], since])
            found.sequences.append(_sequence(steps, table.path, table.rows[whole[0]]))
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
            numbers[:, place] = _values(column, words, table.path, table.rows[0])
        except DataError:
            for row, cell in enumerate(column):
                try:
                    numbers[row, place] = _values([cell], words, table.path, table.rows[row], (name,))[0]
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
            moment = float(_times([cells[place]], str(columns.time), table.path, [row])[0])
            if kept:
                both = [cells[kept[-1]], cells[place]]
                _check_order(np.array([moments[-1], moment]), table.path, [row, row], both)
        except DataError as error:
            problems.report(error)
            continue
        kept.append(place)
        moments.append(moment)
    if not kept:
        raise DataError("no row of this sequence has a time; write one", table.path, table.rows[places[0]])
    return kept, _intervals(np.array(moments))


def _intervals(moments: Exact) -> Exact:
    return np.log1p(np.diff(moments, prepend=moments[:1]))


def _times(cells: Sequence[str], name: str, path: Path, rows: Sequence[int]) -> Exact:
    """Times as numbers; of dates, the seconds since 1970."""
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


def _check_order(times: Exact, path: Path, rows: Sequence[int], cells: Sequence[str]) -> None:
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


def _missing_words(columns: SeriesColumns, *more: str) -> frozenset[str]:
    return frozenset(("", "?", *more, *(() if columns.missing is None else (columns.missing.strip().lower(),))))


def _values(
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


def _sequence(values: Exact, path: Path, row: int) -> Numbers:
    if not np.isfinite(values).any():
        raise DataError("the series holds no number; write at least one or take it out", path, row)
    return values.astype(np.float32)


def _check_width(sequence: Numbers, before: Sequence[Numbers], path: Path, row: int) -> None:
    if before and sequence.shape[1] != before[0].shape[1]:
        raise DataError(
            f"{sequence.shape[1]} numbers a step where the first series has {before[0].shape[1]}; give all the same",
            path,
            row,
        )


def _labels(table: Table, columns: SeriesColumns) -> list[str]:
    if columns.label is None:
        return [""] * len(table)
    return [cell.strip() for cell in table.column(columns.label)]


def _check_label(label: str, columns: SeriesColumns, path: Path, row: int) -> None:
    if columns.label is not None and not label:
        raise DataError(f"the label in column {columns.label!r} is empty; write one or take the row out", path, row)


def fill_missing(sequence: Numbers, *, marks: bool = False) -> Numbers:
    """A standardised sequence (T, F) in which NaN is the last value before it, or 0, the mean, where there is none.

    With `marks` (T, 2 F): the values, then 1 where each is known and 0 where it is not (Che et al. 2018).
    """
    known = ~np.isnan(sequence)
    if known.all():
        filled = sequence
    else:
        last = np.maximum.accumulate(np.where(known, np.arange(len(sequence))[:, None], -1), axis=0)
        filled = np.where(last < 0, 0, np.take_along_axis(sequence, np.maximum(last, 0), 0)).astype(np.float32)
    return np.concatenate([filled, known.astype(np.float32)], 1) if marks else filled


def augment_series(sequence: Numbers, rng: np.random.Generator, strength: float, values: int) -> Numbers:
    """Another (T', F) of the same kind: faster or slower by up to 10 %, unevenly so, larger or smaller, shifted.

    The first `values` features are scaled by 1 + 0.1 N and shifted by 0.05 N each, N normal, times `strength`, in units
    of the training part's deviation (Um et al. 2017: scaling, time warping).
    """
    steps = len(sequence)
    length = max(1, round(steps * (1 + strength * rng.uniform(-0.1, 0.1))))
    bend = strength * 0.03 * steps * rng.normal() * np.sin(np.linspace(0, np.pi * rng.integers(1, 4), length))
    # Bent further than this, time would run backwards.
    bend = np.clip(bend, -0.2 * steps, 0.2 * steps)
    found = interpolated(sequence, np.linspace(0, steps - 1, length) + bend, 0)
    found[:, :values] *= np.float32(1 + strength * 0.1 * rng.normal())
    found[:, :values] += (strength * 0.05 * rng.normal(size=values)).astype(np.float32)
    return found
