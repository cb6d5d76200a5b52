"""Texts without labels: documents to learn from, and inputs to predict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from unrolled.data.problems import Problems, listed
from unrolled.data.table import Table, is_table, read_table
from unrolled.data.text import STANDARD_INPUT, is_folder, read_standard_input, read_text
from unrolled.errors import ArgumentError, DataError


class Origin(NamedTuple):
    """Where a text came from: its file, and its row where it is not the whole file."""

    path: Path
    row: int | None


@dataclass(frozen=True)
class Documents:
    """Texts, none of them empty, each with its origin; `skipped` are the bad rows or files that were left out."""

    texts: list[str] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)


def read_documents(path: str | Path, *, column: str | None = None, skip_bad: bool = False) -> Documents:
    """A text file as one document, a folder as one document a file, a table as one document a row.

    Without `column` a table's only column is taken, or the one named "text". Raises DataError.
    """
    path = Path(path)
    problems = Problems(skip_bad)
    if is_folder(path):
        found = [(text, Origin(file, None)) for file, text in folder_texts(path, problems)]
    elif is_table(path):
        return table_documents(read_table(path, skip_bad=skip_bad), column, problems)
    else:
        _refuse_column(path, column)
        found = [(read_text(path), Origin(path, None))]
    return _documents(found, path, problems)


def read_lines(path: str | Path, *, column: str | None = None, skip_bad: bool = False) -> Documents:
    """One text a line of a text file or of standard input (`"-"`), or one a row of a table. Raises DataError."""
    problems = Problems(skip_bad)
    if str(path) == "-":
        _refuse_column(STANDARD_INPUT, column)
        return _lines(read_standard_input(), STANDARD_INPUT, problems)
    path = Path(path)
    if is_table(path):
        return table_documents(read_table(path, skip_bad=skip_bad), column, problems)
    _refuse_column(path, column)
    return _lines(read_text(path), path, problems)


def read_inputs(
    source: str | Path | None = None,
    *,
    literal: str | None = None,
    column: str | None = None,
    skip_bad: bool = False,
) -> Documents:
    """What to predict: the `literal` text, or a path or `"-"` as `read_lines` reads it, or a folder one text a file."""
    if literal is not None and source is None:
        if not literal.strip():
            raise ArgumentError("the literal text is empty; give at least one character")
        return Documents([literal], [Origin(Path("literal text"), None)])
    if literal is not None or source is None:
        raise ArgumentError("give either a path (or '-') or a literal text, and not both")
    if str(source) != "-" and is_folder(Path(source)):
        return read_documents(source, column=column, skip_bad=skip_bad)
    return read_lines(source, column=column, skip_bad=skip_bad)


def folder_texts(folder: Path, problems: Problems) -> list[tuple[Path, str]]:
    """Every file of a folder and its subfolders with its text, in the order of their paths, hidden ones apart."""
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    texts = []
    for file in files:
        try:
            texts.append((file, read_text(file)))
        except DataError as error:
            problems.report(error)
    return texts


def text_column(table: Table, column: str | None) -> str:
    """The column that holds the text: the one asked for, the only one, or the one named "text"."""
    if column is not None:
        return table.columns[table.position(column)]
    if len(table.columns) == 1:
        return table.columns[0]
    if "text" in table.columns:
        return "text"
    raise DataError(f"no column is named 'text'; say which of {listed(table.columns)} holds the text", table.path)


def empty_text(name: str, path: Path, row: int) -> DataError:
    """The error for a record without text."""
    return DataError(f"the text in column {name!r} is empty; write a text there or take the row out", path, row)


def table_documents(table: Table, column: str | None, problems: Problems) -> Documents:
    """One document a row of an already read table."""
    name = text_column(table, column)
    problems.found.extend(table.skipped)
    found = []
    for text, row in zip(table.column(name), table.rows, strict=True):
        if text.strip():
            found.append((text, Origin(table.path, row)))
        else:
            problems.report(empty_text(name, table.path, row))
    return _documents(found, table.path, problems)


def _lines(text: str, path: Path, problems: Problems) -> Documents:
    found = []
    for row, line in enumerate(text.rstrip().split("\n"), 1):
        if line.strip():
            found.append((line, Origin(path, row)))
        else:
            problems.report(DataError("the line is empty; write a text there or take the line out", path, row))
    return _documents(found, path, problems)


def _documents(found: Iterable[tuple[str, Origin]], path: Path, problems: Problems) -> Documents:
    pairs = list(found)
    if not pairs:
        raise DataError("no text was found here; give a file, a table or a folder with at least one text", path)
    return Documents([text for text, _ in pairs], [origin for _, origin in pairs], tuple(problems.found))


def _refuse_column(path: Path, column: str | None) -> None:
    if column is not None:
        raise DataError(
            f"a text file has no columns, so there is no {column!r}; leave the column out or give a table", path
        )
