"""Pairs of texts, a sentence and its translation, from a table or from lines with a tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.data.documents import Documents, Origin, table_documents
from unrolled.data.problems import Problems, listed
from unrolled.data.table import is_table, read_table
from unrolled.data.text import decode_text, opened, suffix_of
from unrolled.errors import DataError

# Lines of these are cut at tabs and nowhere else: a sentence may begin with a quotation mark.
_LINES = (".tsv", ".txt")


@dataclass(frozen=True)
class PairColumns:
    """How a file of pairs is laid out.

    `source` and `target` name columns, None: the first and the second; without `header` the first line is a pair, and
    columns have no names. A side more than `ratio` times as long as the other (10 characters added to it) is refused,
    unless `ratio` is 0.
    """

    source: str | None = None
    target: str | None = None
    header: bool = True
    ratio: float = 9.0


@dataclass(frozen=True)
class Pairs:
    """Texts with their translations, and the row of each; `names` are those of the two columns."""

    path: Path
    sources: list[str] = field(repr=False)
    targets: list[str] = field(repr=False)
    rows: list[int] = field(repr=False)
    names: tuple[str, str] | None = None
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)


def read_pairs(path: str | Path, columns: PairColumns = PairColumns(), *, skip_bad: bool = False) -> Pairs:
    """Pairs from `.tsv` or `.txt`, a line a pair with a tab between, or from the columns of another table.

    Raises DataError with the row for a line without a tab, an empty side, a side far longer than the other, or bytes
    that are not UTF-8; `skip_bad` leaves these out and lists them.
    """
    path = Path(path)
    if suffix_of(path) not in _LINES and not is_table(path):
        raise DataError("pairs are needed, a line each with a tab between (.tsv, .txt), or a table; rename it", path)
    problems = Problems(skip_bad)
    names, records = (_from_lines if suffix_of(path) in _LINES else _from_table)(path, columns, problems)
    good: list[tuple[int, str, str]] = []
    for row, source, target in records:
        try:
            good.append((row, *_checked(source.strip(), target.strip(), columns.ratio, path, row)))
        except DataError as error:
            problems.report(error)
    if not good:
        raise DataError("no pair could be used; give at least one text with its translation", path)
    rows, sources, targets = map(list, zip(*good, strict=True))
    return Pairs(path, sources, targets, rows, names, tuple(problems.found))


def read_sources(path: str | Path, columns: PairColumns = PairColumns()) -> Documents:
    """The texts to translate: the source column of a file laid out as for training, which needs no other column.

    Raises DataError as `read_pairs` does.
    """
    path = Path(path)
    problems = Problems()
    if suffix_of(path) != ".tsv":
        table = read_table(path)
        return table_documents(table, columns.source or table.columns[0], problems)
    lines = ((row, line.split("\t")) for row, line in _lines(path, problems) if line.strip())
    head = [name.strip() for name in next(lines, (0, [""]))[1]] if columns.header else []
    place = _place(head, columns.source, 0, path) if columns.header else 0
    found = []
    for row, cells in lines:
        text = cells[place].strip() if len(cells) > place else ""
        if not text:
            raise DataError("the text is empty; write it there or take the line out", path, row)
        found.append((text, Origin(path, row)))
    if not found:
        raise DataError("there is no text to translate; give at least one line", path)
    return Documents([text for text, _ in found], [origin for _, origin in found])


_Records = Iterator[tuple[int, str, str]]


def _from_lines(path: Path, columns: PairColumns, problems: Problems) -> tuple[tuple[str, str] | None, _Records]:
    lines = ((row, line.split("\t")) for row, line in _lines(path, problems) if line.strip())
    names, places = None, (0, 1)
    if columns.header:
        row, head = next(lines, (0, []))
        if len(head) < 2:
            raise DataError("the file needs a first line with the names of two columns, a tab between them", path, row)
        head = [name.strip() for name in head]
        places = (_place(head, columns.source, 0, path), _place(head, columns.target, 1, path))
        names = (head[places[0]], head[places[1]])
    elif columns.source is not None or columns.target is not None:
        raise DataError("columns have names only where the file has a header; leave the names or no-header out", path)
    return names, _cut(lines, places, path, problems)


def _cut(lines: Iterator[tuple[int, list[str]]], places: tuple[int, int], path: Path, problems: Problems) -> _Records:
    for row, cells in lines:
        if len(cells) > max(places):
            yield row, cells[places[0]], cells[places[1]]
            continue
        what = "the line has no tab" if len(cells) == 1 else f"the line has {len(cells)} cells"
        problems.report(DataError(f"{what}, and a text and its translation need one between them; add it", path, row))


def _from_table(path: Path, columns: PairColumns, problems: Problems) -> tuple[tuple[str, str] | None, _Records]:
    table = read_table(path, skip_bad=problems.skip)
    problems.found.extend(table.skipped)
    head = list(table.columns)
    if len(head) < 2:
        raise DataError(f"a pair needs two columns, and there is {listed(head)} alone; add the translations", path)
    source, target = _place(head, columns.source, 0, path), _place(head, columns.target, 1, path)
    records = ((row, cells[source], cells[target]) for row, cells in zip(table.rows, table.records, strict=True))
    return (head[source], head[target]), records


def _place(head: list[str], name: str | None, default: int, path: Path) -> int:
    if name is None:
        return default
    if name not in head:
        raise DataError(f"there is no column {name!r}; the columns are {listed(head)}", path)
    return head.index(name)


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    with opened(path) as file:
        data = file.read()
    if not data.strip():
        raise DataError("the file is empty; it needs a line with a text, a tab and its translation", path)
    try:
        yield from enumerate(decode_text(data, path).split("\n"), 1)
        return
    except DataError as error:
        if not problems.skip or error.row is None:
            raise
    for row, line in enumerate(data.split(b"\n"), 1):
        try:
            text = decode_text(line, path) if line.strip() else ""
        except DataError as error:
            problems.report(DataError(str(error).removeprefix(f"{path}, row 1: "), path, row))
            continue
        yield row, text.rstrip("\n")


def _checked(source: str, target: str, ratio: float, path: Path, row: int) -> tuple[str, str]:
    """The pair, or DataError where it teaches nothing."""
    for side, text in (("text", source), ("translation", target)):
        if not text:
            raise DataError(f"the {side} of the pair is empty; write it there or take the line out", path, row)
    short, long = sorted((len(source), len(target)))
    if ratio and long > ratio * (short + 10):
        raise DataError(
            f"one side has {long:,} characters and the other {short:,}, so they are hardly translations; "
            "mend the line or allow it with a larger ratio",
            path,
            row,
        )
    return source, target
