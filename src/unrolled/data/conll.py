"""Sentences with a label a token, a token a line (CoNLL columns): read whole, or a sentence at a time from a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.text import read_text
from unrolled.errors import ArgumentError, DataError

# CoNLL-2003 parts its documents by such a line, which is no token of a sentence.
_DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True)
class Tagged:
    """Sentences as tokens, and a label for each token; `origins` are the lines on which the sentences begin."""

    path: Path
    tokens: list[tuple[str, ...]] = field(repr=False)
    labels: list[tuple[str, ...]] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass
class Columns:
    """Which columns hold the token and the label, counted from 1, or from the end by -1, -2, ...; 0: no label.

    A universal-dependencies file (`.conllu`) has them in columns 2 and 4. All lines must have as many as the first.
    """

    path: Path
    token: int
    label: int
    count: int | None = None

    @classmethod
    def of(cls, path: Path, label: str | None) -> Columns:
        """The columns of a file by its suffix; `label` is the number of another column for the label."""
        universal = path.suffix == ".conllu"
        if label is None:
            return cls(path, 1 + universal, 4 if universal else -1)
        try:
            number = int(label)
        except ValueError:
            number = 0
        if number == 0:
            raise ArgumentError(
                f"label={label!r} is no column of a file without a header; give its number, from 1, or -1 for the last"
            )
        return cls(path, 1 + universal, number)

    def cut(self, line: str, row: int) -> tuple[str, str]:
        """Token and label of a line, cut at tabs, or at spaces where it has no tab. Raises DataError."""
        cells = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
        fewest = max(self.token, abs(self.label), 2 if self.label else 1)
        wanted = max(fewest, self.count or 0)
        if len(cells) < wanted or len(cells) != (self.count or len(cells)):
            raise DataError(
                f"{len(cells)} column(s) where {wanted} are needed, as on the other lines; "
                "write a token and what belongs to it on each line, and nothing else",
                self.path,
                row,
            )
        self.count = len(cells)
        token = cells[self.token - 1].strip()
        label = "" if not self.label else cells[self.label - (self.label > 0)].strip()
        if not token or (self.label and not label):
            what = "token" if not token else "label"
            sentence = f"the {what} of this line is empty; write one there or take the sentence out"
            raise DataError(sentence, self.path, row)
        return token, label


def read_conll(path: str | Path, label: str | None = None, *, skip_bad: bool = False) -> Tagged:
    """Read a file with a token and its label on each line and an empty line between sentences.

    Lines that begin with "# " in front of a sentence are comments. Raises DataError with the row; `skip_bad` leaves the
    sentence of a bad line out.
    """
    path = Path(path)
    columns = Columns.of(path, label)
    problems = Problems(skip_bad)
    found = []
    for lines in _sentences(enumerate(read_text(path).split("\n"), 1)):
        try:
            found.append((lines[0][0], [columns.cut(line, row) for row, line in lines]))
        except DataError as error:
            problems.report(error)
    if not found:
        raise DataError("no sentence was found here; write a token and its label on each line", path)
    return Tagged(
        path,
        [tuple(token for token, _ in cells) for _, cells in found],
        [tuple(name for _, name in cells) for _, cells in found],
        [Origin(path, row) for row, _ in found],
        tuple(problems.found),
    )


def token_stream(lines: Iterable[str], path: Path) -> Iterator[tuple[int, int, str]]:
    """Number of the sentence, row, and token of each line as it comes in. Raises DataError with the row."""
    columns = Columns.of(path, None)
    columns.label = 0
    sentence, inside = 0, False
    for row, line in enumerate(lines, 1):
        if not line.strip():
            inside = False
        elif not _aside(line, first=not inside):
            sentence += not inside
            inside = True
            yield sentence, row, columns.cut(line, row)[0]
    if not sentence:
        raise DataError("nothing came in; write a token on each line and an empty line between sentences", path)


def _sentences(numbered: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """The lines of each sentence with their rows; comments are gone."""
    lines: list[tuple[int, str]] = []
    for row, line in numbered:
        if not line.strip():
            if lines:
                yield lines
            lines = []
        elif not _aside(line, first=not lines):
            lines.append((row, line))
    if lines:
        yield lines


def _aside(line: str, *, first: bool) -> bool:
    """Whether a line is a comment, the start of a document, or a CoNLL-U range (1-2) or empty node (1.1)."""
    if line.startswith(_DOCUMENT) or (first and line.startswith("# ")):
        return True
    head, tab, rest = line.partition("\t")
    return bool(tab) and rest.count("\t") == 8 and not head.isdigit() and head.replace("-", ".").count(".") == 1
