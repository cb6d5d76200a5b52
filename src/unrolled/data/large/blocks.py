"""Files read in blocks of a few megabytes, from any block's beginning on: what one can hold in memory of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from unrolled.data.compressed import is_packed
from unrolled.data.documents import empty_text
from unrolled.data.large.files import Files
from unrolled.data.problems import Problems, listed, nearest
from unrolled.data.table import (
    cell_text,
    column_names,
    is_table,
    json_record,
    long_cells,
    parquet_columns,
    parquet_rows,
    ragged_row,
    separator_of,
    split_records,
)
from unrolled.data.text import UTF8_MARK, check_plain, not_utf8, opened, suffix_of
from unrolled.errors import DataError

BLOCK = 1 << 22
# A word, or a row, of more than this is none.
LONGEST = 1 << 26


class Place(NamedTuple):
    """Where a block begins: number of the file, bytes (of Parquet: rows) into it, rows before it.

    `joined`: it goes on with the document of the block before it.
    """

    file: int = 0
    at: int = 0
    row: int = 0
    joined: bool = False


@dataclass
class Block:
    """Texts, the row on which each begins, cells of further columns beside them, and where the next block begins.

    `joined`: the first text goes on with the last document before; `open`: the last text is not the end of its own.
    """

    texts: list[str]
    rows: list[int]
    after: Place
    joined: bool = False
    open: bool = False
    columns: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Cut:
    """How files become documents: the columns of tables, and where a long text may be cut into blocks.

    `gap` is "any" where every character is a unit of its own, else " " or a tab: the unit cannot go on across it.
    """

    text: str | None = "text"
    columns: tuple[str, ...] = ()
    gap: str = "any"


BEGINNING = Place()


def read_blocks(files: Files, cut: Cut, problems: Problems, start: Place = BEGINNING) -> Iterator[Block]:
    """The blocks from `start` on; a file that is refused is left out from its beginning where problems are skipped."""
    for number in range(start.file, len(files.paths)):
        path = files.paths[number]
        begin = start if number == start.file else Place(number)
        reader = _rows if is_table(path) else _text
        yield from reader(path, cut, problems, begin)


def _text(path: Path, cut: Cut, problems: Problems, begin: Place) -> Iterator[Block]:
    """One document a file, in pieces that end where no unit does."""
    try:
        if problems.skip and not begin.at:
            # A file is left out whole, so it has to be known before its first piece whether the last one is good.
            for _ in _pieces(path, cut, begin):
                pass
        yield from _pieces(path, cut, begin)
    except DataError as error:
        problems.report(error)


def _pieces(path: Path, cut: Cut, begin: Place) -> Iterator[Block]:
    at, row, joined = begin.at, begin.row, begin.joined
    some = joined
    with opened(path) as file:
        _go_to(file, at, path)
        held = b""
        while True:
            data = file.read(max(BLOCK - len(held), BLOCK // 2))
            held += data
            if at == 0 and not joined:
                check_plain(held, path)
                at = len(UTF8_MARK) if held.startswith(UTF8_MARK) else 0
                held = held.removeprefix(UTF8_MARK)
            text, used = _decoded(held, last=not data, path=path, row=row)
            size = len(text) if not data else _cut_place(text, cut.gap)
            if size < len(text):
                used = len(text[:size].encode())
                text = text[:size]
            some = some or bool(text.strip())
            if data and (not size or not some):
                if len(held) > LONGEST:
                    sentence = f"{LONGEST // 2**20} MB without a word or a gap between words; use char units"
                    raise DataError(sentence, path)
                continue
            if not some:
                raise DataError("the file is empty; it needs at least one line of text", path)
            at += used
            rows = text.count("\n") if "\r" not in text else _plain(text).count("\n")
            after = Place(begin.file, at, row + rows, True) if data else Place(begin.file + 1)
            yield Block([_plain(text)], [row + 1], after, joined=joined, open=bool(data))
            if not data:
                return
            held, row, joined = held[used:], row + rows, True


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decoded(data: bytes, *, last: bool, path: Path, row: int) -> tuple[str, int]:
    """As much of it as is whole characters, and how many bytes these are."""
    if b"\0" in data:
        raise DataError("this is a binary file, and text in UTF-8 is needed; give a text file", path)
    try:
        return data.decode(), len(data)
    except UnicodeDecodeError as error:
        if not last and error.reason == "unexpected end of data":
            return data[: error.start].decode(), error.start
        raise not_utf8(data, error.start, path, row) from None


def _cut_place(text: str, gap: str) -> int:
    """The last place where no unit goes on: in front of white space that follows something else."""
    if gap == "any":
        return len(text) - 1 if text.endswith("\r") else len(text)
    place = text.rfind("\t") if gap == "\t" else max(text.rfind(" "), text.rfind("\n"))
    while place > 0 and text[place - 1].isspace():
        place -= 1
    return max(place, 0)


def _go_to(file: IO[bytes], at: int, path: Path) -> None:
    """To a place in the file; what is compressed has to be unpacked up to it."""
    if not is_packed(path):
        file.seek(at)
        return
    while at and (skipped := len(file.read(min(at, BLOCK)))):
        at -= skipped


# ------------------------------------------------------------------------------------------------------------- tables

_Row = tuple[int, list[str]]  # the row and its wanted cells
_Rows = Iterator[tuple[_Row, int | None, int]]  # and where the next one begins: bytes and rows


def _rows(path: Path, cut: Cut, problems: Problems, begin: Place) -> Iterator[Block]:
    """One document a row."""
    read = _TABLES[suffix_of(path)]
    names, find = read.columns(path), read.rows
    wanted = [_text_name(names, cut.text, path), *cut.columns]
    for name in wanted:
        if name not in names and not read.open_ended:
            raise _no_column(name, names, path)
    block = Block([], [], begin, columns=[[] for _ in cut.columns])
    size, some = 0, begin.at > 0
    for (row, cells), at, rows in find(path, names, wanted, problems, begin):
        if not cells[0].strip():
            problems.report(empty_text(wanted[0], path, row))
            continue
        some = True
        block.texts.append(cells[0])
        block.rows.append(row)
        for column, cell in zip(block.columns, cells[1:], strict=True):
            column.append(cell)
        size += len(cells[0])
        if size >= BLOCK and at is not None:
            block.after = Place(begin.file, at, rows)
            yield block
            block, size = Block([], [], begin, columns=[[] for _ in cut.columns]), 0
    if not some:
        raise DataError("no text was found here; give a table with at least one text", path)
    block.after = Place(begin.file + 1)
    yield block


def table_columns(path: Path) -> tuple[str, ...]:
    """The names of the columns of a table, of a .jsonl those of its first line. Raises DataError."""
    return _TABLES[suffix_of(path)].columns(path)


def _text_name(names: Sequence[str], wanted: str | None, path: Path) -> str:
    if wanted is not None:
        return wanted
    if len(names) == 1:
        return names[0]
    if "text" in names:
        return "text"
    raise DataError(f"no column is named 'text'; say which of {listed(names)} holds the text", path)


def _no_column(name: str, names: Sequence[str], path: Path) -> DataError:
    return DataError(f"there is no column {name!r}; the columns are {listed(names)}{nearest(name, names)}", path)


class _Lines:
    """The lines of a file, decoded, that count the bytes and rows of what was taken from them."""

    def __init__(self, file: IO[bytes], path: Path, at: int, row: int) -> None:
        self._file = file
        self._path = path
        self._held: list[str] = []
        self.at = at
        self.row = row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._held:
            raw = self._file.readline(LONGEST)
            if not raw:
                raise StopIteration
            if len(raw) == LONGEST:
                raise DataError(f"a line has more than {LONGEST // 2**20} MB; a row ends with a line", self._path)
            if self.at == 0:
                check_plain(raw, self._path)
            data = raw.removeprefix(UTF8_MARK) if self.at == 0 else raw
            text, _ = _decoded(data, last=True, path=self._path, row=self.row)
            self.at += len(raw)
            # A lone carriage return ends a line too.
            self._held = _plain(text).splitlines(keepends=True) if "\r" in text else [text]
            self._held = [line + "\n" if not line.endswith("\n") else line for line in self._held][::-1]
        self.row += 1
        return self._held.pop()

    @property
    def place(self) -> int | None:
        """Where the next line begins, None in the middle of lines that are read already."""
        return None if self._held else self.at


def _separated_columns(path: Path) -> tuple[str, ...]:
    with opened(path) as file, long_cells():
        lines = _Lines(file, path, 0, 0)
        first = _first_line(lines, path)
        _, header = next(split_records(itertools.chain([first], lines), _mark(path, first), Problems(), path), (0, []))
        return column_names(header, path)


def _first_line(lines: _Lines, path: Path) -> str:
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise DataError("the file is empty; it needs a header and a row", path)
    return first


def _mark(path: Path, header: str) -> str:
    return "\t" if suffix_of(path) == ".tsv" else separator_of(header)


def _separated_rows(path: Path, names: Sequence[str], wanted: Sequence[str], problems: Problems, begin: Place) -> _Rows:
    places = [names.index(name) for name in wanted]
    with opened(path) as file:
        mark = _mark(path, _first_line(_Lines(file, path, 0, 0), path))
    with opened(path) as file, long_cells():
        _go_to(file, begin.at, path)
        lines = _Lines(file, path, begin.at, begin.row)
        records = split_records(lines, mark, problems, path, begin.row)
        if begin.at == 0:
            next(records)  # the header
        for row, cells in records:
            if not cells and len(names) == 1:
                cells = [""]
            if len(cells) == len(names):
                yield (row, [cells[place] for place in places]), lines.place, lines.row
            elif cells:
                problems.report(ragged_row(cells, tuple(names), mark, path, row))


def _json_columns(path: Path) -> tuple[str, ...]:
    with opened(path) as file:
        for row, line in enumerate(_Lines(file, path, 0, 0), 1):
            if line.strip():
                return tuple(json_record(line, path, row))
    raise DataError("the file is empty; it needs a header and a row", path)


def _json_rows(path: Path, names: Sequence[str], wanted: Sequence[str], problems: Problems, begin: Place) -> _Rows:
    seen: set[str] = set(names)
    with opened(path) as file:
        _go_to(file, begin.at, path)
        lines = _Lines(file, path, begin.at, begin.row)
        for line in lines:
            if not line.strip():
                continue
            try:
                record = json_record(line, path, lines.row)
            except DataError as error:
                problems.report(error)
                continue
            seen |= record.keys()
            yield (lines.row, [cell_text(record.get(name)) for name in wanted]), lines.place, lines.row
    if begin.at == 0 and (absent := [name for name in wanted if name not in seen]):
        raise _no_column(absent[0], sorted(seen), path)


def _parquet_rows(path: Path, names: Sequence[str], wanted: Sequence[str], problems: Problems, begin: Place) -> _Rows:
    for row, cells in parquet_rows(path, wanted, begin.at):
        yield (row, cells), row, row


class _Format(NamedTuple):
    columns: Callable[[Path], tuple[str, ...]]
    rows: Callable[[Path, Sequence[str], Sequence[str], Problems, Place], _Rows]
    open_ended: bool = False  # later rows may have columns that the first has not


_TABLES: dict[str, _Format] = {
    ".csv": _Format(_separated_columns, _separated_rows),
    ".tsv": _Format(_separated_columns, _separated_rows),
    ".jsonl": _Format(_json_columns, _json_rows, open_ended=True),
    ".parquet": _Format(parquet_columns, _parquet_rows),
}
