"""DNA and RNA with labels: FASTA files, tables, folders; bases or k-mers, and the other strand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.data.compressed import plain_name
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.table import read_table
from unrolled.data.text import is_folder, read_text, suffix_of
from unrolled.errors import ArgumentError, DataError

FASTA_SUFFIXES = frozenset((".fasta", ".fa", ".fna", ".ffn", ".fas"))
# The letters of IUPAC: bases, and what may be one of several bases.
_LETTERS = "ACGTRYSWKMBDHVN-"
_OTHER_STRAND = str.maketrans("ACGTRYSWKMBDHVN-", "TGCAYRSWMKVHDBN-")
_ILLEGAL = re.compile(f"[^{_LETTERS}]")
_LABEL = re.compile(r"(?:^|\s)(?:label|class)=(\S+)")


@dataclass(frozen=True)
class Sequences:
    """DNA in capital letters, U as T, with names, labels (empty where none were read) and where each begins."""

    path: Path
    sequences: list[str] = field(repr=False)
    labels: list[str] = field(repr=False)
    names: list[str] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)


def is_fasta(path: str | Path) -> bool:
    """Whether the name says that it is a FASTA file, gzipped or not."""
    return suffix_of(Path(path)) in FASTA_SUFFIXES


def looks_like_dna(cells: Iterable[str]) -> bool:
    """Whether all cells are words of at least four letters of which nearly all are A, C, G, T, U or N."""
    found = [cell.strip().upper() for cell in cells]
    return bool(found) and all(
        len(cell) >= 4 and sum(cell.count(base) for base in "ACGTUN") >= 0.9 * len(cell) for cell in found
    )


def read_dna(
    path: str | Path, column: str = "sequence", label: str | None = "label", *, skip_bad: bool = False
) -> Sequences:
    """Read labelled DNA from a table's columns, a FASTA file, or a folder of FASTA files.

    In a FASTA file the label is `label=NAME` or `class=NAME` in the line after the `>`, else its last word after the
    name; in a folder it is the name of the file, or of the subfolder that the file lies in. `label=None` reads none.
    Raises DataError with the row for an illegal letter, an empty sequence and a label that is missing.
    """
    path = Path(path)
    problems = Problems(skip_bad)
    if is_folder(path):
        records = _folder(path, label, problems)
    elif is_fasta(path):
        records = _fasta(path, None, label is not None, problems)
    else:
        records = _table(path, column, label, problems)
    kept = []
    for name, text, found, origin in records:
        try:
            kept.append((clean(text, origin.path, origin.row), name, _checked(found, label, origin), origin))
        except DataError as error:
            problems.report(error)
    if not kept:
        raise DataError("no sequence of bases was found here; give at least one", path)
    sequences, names, labels, origins = (list(part) for part in zip(*kept, strict=True))
    return Sequences(path, sequences, labels if label is not None else [], names, origins, tuple(problems.found))


def clean(text: str, path: Path | None = None, row: int | None = None) -> str:
    """Bases in capital letters without white space, U as T. Raises DataError for a letter that is none of IUPAC's."""
    found = "".join(text.split()).upper().replace("U", "T")
    if not found:
        raise DataError("the sequence has no bases; write some or take it out", path, row)
    bad = _ILLEGAL.search(found)
    if bad:
        raise DataError(
            f"{bad.group()!r} at place {bad.start() + 1} of this sequence is no base; "
            f"write one of {_LETTERS} (N where it is not known)",
            path,
            row,
        )
    return found


def reverse_complement(sequence: str) -> str:
    """The other strand, read in its own direction."""
    return sequence.translate(_OTHER_STRAND)[::-1]


def kmers(sequence: str, k: int) -> str:
    """The words of `k` letters that begin at each place, parted by blanks; a shorter sequence is one word."""
    if k < 1:
        raise ArgumentError(f"kmer={k} must be at least 1; give another value")
    return " ".join(sequence[place : place + k] for place in range(max(1, len(sequence) - k + 1)))


_Record = tuple[str, str, str, Origin]


def _checked(found: str, label: str | None, origin: Origin) -> str:
    if label is not None and not found:
        raise DataError("the sequence has no label; write one or take it out", origin.path, origin.row)
    return found


def _table(path: Path, column: str, label: str | None, problems: Problems) -> Iterator[_Record]:
    table = read_table(path, skip_bad=problems.skip)
    problems.found.extend(table.skipped)
    labels = table.column(label) if label is not None else [""] * len(table)
    for text, found, row in zip(table.column(column), labels, table.rows, strict=True):
        yield "", text, found.strip(), Origin(path, row)


def _folder(path: Path, label: str | None, problems: Problems) -> Iterator[_Record]:
    files = [file for file in sorted(path.rglob("*")) if is_fasta(file) and file.is_file()]
    if not files:
        raise DataError("the folder holds no FASTA file; put one for each class into it", path)
    for file in files:
        name = plain_name(file).stem
        found = name if file.parent == path else file.relative_to(path).parts[0]
        yield from _fasta(file, found, label is not None, problems)


def _fasta(path: Path, known: str | None, labelled: bool, problems: Problems) -> Iterator[_Record]:
    """The records of a FASTA file; the letters of a bad one are looked at line by line, so that its row is right."""
    head: str | None = None
    start = 0
    lines: list[tuple[int, str]] = []
    for row, line in enumerate([*read_text(path).split("\n"), ">"], 1):
        line = line.strip()
        if not line.startswith(">"):
            if line and head is None:
                raise DataError("the file does not begin with a line '> name'; give a FASTA file", path, row)
            if line and not line.startswith(";"):
                lines.append((row, line))
            continue
        if head is not None:
            name, _, rest = head.partition(" ")
            try:
                for number, part in lines:
                    clean(part, path, number)
            except DataError as error:
                problems.report(error)
            else:
                found = known if known is not None else _label_of(rest) if labelled else ""
                yield name, "".join(part for _, part in lines), found, Origin(path, start)
        head, start, lines = line[1:].strip(), row, []


def _label_of(rest: str) -> str:
    named = _LABEL.search(rest)
    words = rest.split()
    return named[1] if named else words[-1] if words else ""
