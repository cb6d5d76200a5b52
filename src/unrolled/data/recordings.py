"""Sounds, pen strokes and pictures of lines with their texts, from a table that names files or holds the points."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.data.arrays import Numbers
from unrolled.data.documents import Origin, empty_text
from unrolled.data.problems import Problems, listed
from unrolled.data.signals import OPEN, Choice, Signal, Strokes, kind_of_file
from unrolled.data.strokes import points_of
from unrolled.data.table import Table, is_table, read_table
from unrolled.errors import DataError

INPUT_COLUMNS = ("file", "points", "strokes")


@dataclass(frozen=True)
class Recordings:
    """Samples (T, C) as `signal` keeps them, their texts ("" where none were read), and where each stands."""

    path: Path
    signal: Signal
    samples: list[Numbers] = field(repr=False)
    texts: list[str] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)


def read_recordings(
    path: str | Path,
    signal: Signal | None = None,
    *,
    inputs: str | None = None,
    text: str | None = "text",
    choice: Choice = OPEN,
    skip_bad: bool = False,
) -> Recordings:
    """Read a table whose column `inputs` names files, relative to the table, or holds points as JSON.

    Without `inputs` it is the first of file, points and strokes that there is; with `text=None` no texts are read.
    Without a `signal` it is made by `choice` and the first row; all rows must be of its kind. Raises DataError with
    the table's row for an empty text and a sample that cannot be read.
    """
    path = Path(path)
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    column = inputs if inputs is not None else _input_column(table)
    if text is not None and text not in table.columns:
        raise DataError(
            f"there is no column {text!r}; say which of {listed(table.columns)} holds what is said or written (--text)",
            path,
        )
    cells = [cell.strip() for cell in table.column(column)]
    texts = [""] * len(table) if text is None else [" ".join(cell.split()) for cell in table.column(text)]
    samples, kept = [], []
    for place, (cell, row) in enumerate(zip(cells, table.rows, strict=True)):
        try:
            if text is not None and not texts[place]:
                raise empty_text(text, path, row)
            if not cell:
                raise DataError(f"column {column!r} is empty; name a file there or take the row out", path, row)
            if signal is None:
                signal = _first_signal(cell, path, choice)
            samples.append(_sample(signal, cell, path, row))
        except DataError as error:
            problems.report(error if error.path == path else DataError(str(error), path, row))
        else:
            kept.append(place)
    if signal is None or not samples:
        raise DataError(problems.instead("no row of the table can be used; give at least one sample"), path)
    origins = [Origin(path, table.rows[place]) for place in kept]
    return Recordings(path, signal, samples, [texts[place] for place in kept], origins, tuple(problems.found))


def read_samples(path: str | Path, signal: Signal, *, inputs: str | None = None, text: str | None = None) -> Recordings:
    """What to transcribe: the rows of a table, or one file that holds a sample. Raises DataError.

    Texts are read too where the table has the column `text` and no cell of it is empty.
    """
    path = Path(path)
    if is_table(path):
        table = read_table(path)
        told = text is not None and text in table.columns and all(map(str.strip, table.column(text)))
        return read_recordings(path, signal, inputs=inputs, text=text if told else None)
    _check_kind(signal, path)
    return Recordings(path, signal, [signal.read(path)], [""], [Origin(path, None)])


def _input_column(table: Table) -> str:
    found = next((name for name in INPUT_COLUMNS if name in table.columns), None)
    if found is None:
        raise DataError(
            f"no column is named {listed(INPUT_COLUMNS)}; "
            f"say which of {listed(table.columns)} names the files (--inputs)",
            table.path,
        )
    return found


def _is_points(cell: str) -> bool:
    return cell.startswith("[")


def _first_signal(cell: str, path: Path, choice: Choice) -> Signal:
    if _is_points(cell):
        return choice.signal(Strokes.kind)
    file = path.parent / cell
    return choice.signal(kind_of_file(file), file)


def _sample(signal: Signal, cell: str, path: Path, row: int) -> Numbers:
    if not _is_points(cell):
        file = path.parent / cell
        _check_kind(signal, file)
        return signal.read(file)
    if not isinstance(signal, Strokes):
        raise DataError(f"the row holds points, and {signal.kind} is needed; give one kind only", path, row)
    try:
        value: object = json.loads(cell)
    except (ValueError, RecursionError):
        raise DataError("the points are not JSON; write [[x, y], ...]", path, row) from None
    return points_of(value, path, row)


def _check_kind(signal: Signal, file: Path) -> None:
    kind = kind_of_file(file)
    if kind != signal.kind:
        raise DataError(f"this is a file of {kind}, and {signal.kind} is needed; give one kind only", file)
