"""Columns of numbers, and texts with numbers to foretell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unrolled.data.arrays import Exact, Flags, Numbers
from unrolled.data.documents import Origin, empty_text
from unrolled.data.problems import Problems
from unrolled.data.table import Table, read_table
from unrolled.errors import DataError


@dataclass(frozen=True)
class TextTargets:
    """Texts with K numbers each: `targets` is `(N, K)` float32; `groups` as in `Labelled`."""

    path: Path
    texts: list[str] = field(repr=False)
    targets: Numbers = field(repr=False)
    target_names: tuple[str, ...]
    origins: list[Origin] = field(repr=False)
    groups: list[str] | None = field(default=None, repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)


def read_text_targets(
    path: str | Path,
    text: str = "text",
    target: str | Sequence[str] = "target",
    *,
    group: str | None = None,
    skip_bad: bool = False,
) -> TextTargets:
    """Read a table's column of texts and its column or columns of numbers. Raises DataError with the row."""
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    names = several(target)
    texts = table.column(text)
    numbers, good = number_columns(table, names, problems)
    for place, content in enumerate(texts):
        if not content.strip():
            problems.report(empty_text(text, table.path, table.rows[place]))
            good[place] = False
    groups = None if group is None else table.column(group)
    kept = np.flatnonzero(good).tolist()
    if not kept:
        raise DataError("no row has both a text and its numbers; mend at least two rows", table.path)
    return TextTargets(
        table.path,
        [texts[place] for place in kept],
        numbers[kept].astype(np.float32),
        names,
        [Origin(table.path, table.rows[place]) for place in kept],
        None if groups is None else [groups[place] for place in kept],
        tuple(problems.found),
    )


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or more as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def number_columns(table: Table, names: Sequence[str], problems: Problems) -> tuple[Exact, Flags]:
    """The columns as `(N, K)` float64, and which rows `(N,)` are finite numbers (within float32) throughout."""
    numbers = np.empty((len(table), len(names)))
    good = np.ones(len(table), dtype=bool)
    for place, name in enumerate(names):
        cells = table.column(name)
        numbers[:, place] = _numbers(cells)
        for row in np.flatnonzero(~_usable(numbers[:, place])).tolist():
            problems.report(not_a_number(name, cells[row], table.path, table.rows[row]))
            good[row] = False
    return numbers, good


def not_a_number(name: str, cell: str, path: Path, row: int) -> DataError:
    """The error for a cell that must be a finite number and is not."""
    shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
    return DataError(
        f"column {name!r} holds {shown}, and a finite number is needed; write one, or leave this column or row out",
        path,
        row,
    )


def _numbers(cells: Sequence[str]) -> Exact:
    """Cells as numbers, NaN where a cell is none."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return np.array([as_number(cell) for cell in cells])


def as_number(cell: str) -> float:
    """A cell as a number, NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _usable(numbers: Exact) -> Flags:
    usable: Flags = np.isfinite(numbers) & (np.abs(numbers) <= np.finfo(np.float32).max)
    return usable
