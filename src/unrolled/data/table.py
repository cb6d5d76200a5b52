"""Tables with named columns from .csv, .tsv, .jsonl and .parquet; every cell is text and every record knows its row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from unrolled.data.problems import Problems, listed, nearest
from unrolled.data.text import opened, read_text, suffix_of
from unrolled.errors import DataError

# The csv module's own limit of 131,072 characters a cell is shorter than a long document.
_LONGEST_CELL = 2**31 - 1
_PARQUET_ROWS = 1 << 14


@dataclass(frozen=True)
class Table:
    """Records with named columns.

    `records[k]` holds one text a column; `rows[k]` is the line on which that record begins in its file, counted from 1
    as an editor counts (for Parquet the number of the record). `skipped` are the bad rows that were left out.
    """

    path: Path
    columns: tuple[str, ...]
    records: list[list[str]] = field(repr=False)
    rows: list[int] = field(repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def position(self, name: str) -> int:
        """Where the column `name` stands; DataError names the columns there are and the nearest."""
        if name not in self.columns:
            raise DataError(
                f"there is no column {name!r}; the columns are {listed(self.columns)}{nearest(name, self.columns)}",
                self.path,
            )
        return self.columns.index(name)

    def column(self, name: str) -> list[str]:
        """The cells of one column, in the order of the file."""
        position = self.position(name)
        return [record[position] for record in self.records]


def read_table(path: str | Path, *, skip_bad: bool = False) -> Table:
    """Read `.csv`, `.tsv`, `.jsonl` (any of them also `.gz`) or `.parquet`.

    Raises DataError, with the row where there is one, for a file or a row that cannot be read; `skip_bad` leaves bad
    rows out and lists them in `Table.skipped`.
    """
    path = Path(path)
    reader = _READERS.get(suffix_of(path))
    with opened(path):
        pass
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise DataError(f"a table is needed ({known}, told by the name's end); rename or convert the file", path)
    problems = Problems(skip_bad)
    columns, numbered = reader(path, problems)
    if not numbered:
        raise DataError("the table has no rows to read; it needs at least one below its column names", path)
    return Table(path, columns, [cells for _, cells in numbered], [row for row, _ in numbered], tuple(problems.found))


def is_table(path: Path) -> bool:
    """Whether the name of the file says that it is a table."""
    return suffix_of(path) in _READERS


_Records = list[tuple[int, list[str]]]


def _read_separated(path: Path, problems: Problems) -> tuple[tuple[str, ...], _Records]:
    text = read_text(path).rstrip("\n")
    header_line = text.lstrip("\n").split("\n", 1)[0]
    separator = "\t" if suffix_of(path) == ".tsv" else separator_of(header_line)
    with long_cells():
        records = split_records(io.StringIO(text), separator, problems, path)
        _, header = next(records, (0, []))
        columns = column_names(header, path)
        numbered: _Records = []
        for row, cells in records:
            # In a table of one column a blank line is an empty cell; in a wider one it is only a blank line.
            cells = cells or ([""] if len(columns) == 1 else [])
            if len(cells) == len(columns):
                numbered.append((row, cells))
            elif cells:
                problems.report(ragged_row(cells, columns, separator, path, row))
    return columns, numbered


def separator_of(header: str) -> str:
    """A .csv is separated by commas unless its first line has none but has semicolons or tabs."""
    return next((mark for mark in ",;\t" if mark in header), ",")


def split_records(
    lines: Iterable[str], separator: str, problems: Problems, path: Path, before: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """The records of a .csv with the row on which each begins, `before` rows having gone before."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    started = before > 0
    while True:
        row = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            sentence = "the quotation marks of this row do not pair; write a mark inside a quoted cell twice"
            problems.report(DataError(sentence, path, row))
            continue
        started = started or bool(cells)
        if started:
            yield row, cells


@contextlib.contextmanager
def long_cells() -> Iterator[None]:
    """Within this block a cell of a .csv may be as long as a document."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def column_names(header: list[str], path: Path) -> tuple[str, ...]:
    """The names in the first row, those that are empty by their number; DataError for one that is there twice."""
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(header, 1)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(f"the column name {name!r} occurs twice in the first row; rename one of them", path, 1)
    return tuple(names)


def ragged_row(cells: list[str], columns: tuple[str, ...], separator: str, path: Path, row: int) -> DataError:
    """The error for a row that has not as many cells as there are columns."""
    return DataError(
        f"{len(cells)} cells where the first row names {len(columns)} columns; "
        f"put a cell that contains {separator!r} in quotation marks",
        path,
        row,
    )


def _read_json_lines(path: Path, problems: Problems) -> tuple[tuple[str, ...], _Records]:
    numbered: list[tuple[int, dict[str, Any]]] = []
    for row, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            numbered.append((row, json_record(line, path, row)))
        except DataError as error:
            problems.report(error)
    columns = tuple(dict.fromkeys(name for _, record in numbered for name in record))
    return columns, [(row, [cell_text(record.get(name)) for name in columns]) for row, record in numbered]


def json_record(line: str, path: Path, row: int) -> dict[str, Any]:
    """One line of a .jsonl; DataError where it is no object that can be used."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError("the line is not JSON; write one object {...} a line", path, row) from None
    if not isinstance(record, dict) or not record:
        raise DataError("the line is not a JSON object with names and values; write one {...} a line", path, row)
    try:
        "".join(map(cell_text, record.values())).encode()
    except UnicodeEncodeError:
        raise DataError("an escape \\ud... of the line is half a character; write both halves", path, row) from None
    return record


def _read_parquet(path: Path, problems: Problems) -> tuple[tuple[str, ...], _Records]:
    columns = parquet_columns(path)
    return columns, list(parquet_rows(path, columns))


def parquet_columns(path: Path) -> tuple[str, ...]:
    """The names of the columns of a Parquet file. Raises DataError."""
    with _parquet(path) as file:
        names = tuple(file.schema_arrow.names)
    # A file may have two columns of one name, which no table has.
    return column_names(list(names), path)


def parquet_rows(path: Path, columns: Sequence[str], start: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The cells of these columns of each row from row `start`, counted from 0, on, with the row counted from 1."""
    with _parquet(path) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        ends = list(accumulate(sizes))
        groups = [number for number, end in enumerate(ends) if end > start]
        row = ends[groups[0]] - sizes[groups[0]] if groups else 0
        chosen = list(dict.fromkeys(columns))
        for batch in file.iter_batches(_PARQUET_ROWS, row_groups=groups, columns=chosen, use_threads=False):
            cells = [batch.column(name).to_pylist() for name in columns]
            for record in zip(*cells, strict=True):
                row += 1
                if row > start:
                    yield row, [cell_text(value) for value in record]


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """An open Parquet file; DataError for what goes wrong until it is closed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            "reading Parquet needs pyarrow, which is not installed; run \"pip install 'unrolled[data]'\"", path
        ) from None
    with opened(path) as source:
        try:
            with parquet.ParquetFile(source) as file:
                yield file
        except DataError:
            raise
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError, KeyError, IndexError):
            raise DataError("this is not a readable Parquet file; write it again or give .csv", path) from None


def cell_text(value: Any) -> str:
    """A value as the text that a .csv would hold: nothing for null, JSON for numbers and lists."""
    if value is None:
        return ""
    if isinstance(value, (bool, int, float, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


_READERS: dict[str, Callable[[Path, Problems], tuple[tuple[str, ...], _Records]]] = {
    ".csv": _read_separated,
    ".tsv": _read_separated,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
