"""Sequences of numbers with numbers to foretell: long tables, wide tables, lists in cells, and .npz arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unrolled.data.archive import read_archive
from unrolled.data.arrays import Exact, Numbers
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.table import Table, read_table
from unrolled.data.targets import as_number, not_a_number, number_columns, several
from unrolled.data.text import suffix_of
from unrolled.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Series:
    """N sequences `(T_n, F)` float32 of named features, with their targets `(N, K)` float32 where there are any.

    `groups` are the keys of a long table, one a sequence; `origins` the row where each sequence begins.
    """

    path: Path
    features: tuple[str, ...]
    sequences: list[Numbers] = field(repr=False)
    target_names: tuple[str, ...] = ()
    targets: Numbers | None = field(default=None, repr=False)
    groups: tuple[str, ...] = field(default=(), repr=False)
    origins: list[Origin] = field(default_factory=list, repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)


def read_series(
    path: str | Path,
    target: str | Sequence[str] | None = None,
    *,
    group: str | None = None,
    inputs: str | None = None,
    features: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> Series:
    """Read sequences of numbers, and the number or numbers that belong to each.

    - `.npz`: the array `inputs` ("x" without it) `(N, T)` or `(N, T, F)`, the array `target` `(N,)` or `(N, K)`, and
      "lengths" `(N,)` if it is there. Pickled objects are never loaded.
    - a table with `group`: rows with one value there are the steps of one sequence, in the order of the file; the
      target is the same in all of them.
    - a table with `inputs`: that column's cells are JSON lists of numbers, or of equally long lists of numbers.
    - any other table: a row is a sequence of one feature and its columns are the steps; blank cells at the end make it
      shorter.

    `features` names the columns to use, all but `group` and `target` without it. Raises DataError with the row.
    """
    path = Path(path)
    names = () if target is None else several(target)
    if group is not None and inputs is not None:
        raise ArgumentError(
            "group and inputs exclude each other; give group for a long table or inputs for lists in cells"
        )
    if suffix_of(path) == ".npz":
        return _from_archive(path, inputs or "x", names)
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    taken = {group, inputs, *names}
    used = tuple(features) if features is not None else tuple(name for name in table.columns if name not in taken)
    if inputs is None and not used:
        raise DataError("no column is left to hold the sequences; name fewer targets or add columns of numbers", path)
    if group is not None:
        return _long(table, group, used, names, problems)
    return _by_row(table, inputs, used, names, problems)


def _from_archive(path: Path, inputs: str, names: tuple[str, ...]) -> Series:
    sequences, targets = read_archive(path, inputs, names)
    width = sequences[0].shape[1]
    target_names = names
    if targets is not None and targets.shape[1] != len(names):
        target_names = tuple(f"{names[0]} {place}" for place in range(1, targets.shape[1] + 1))
    return Series(
        path,
        tuple(f"{inputs} {place}" for place in range(1, width + 1)),
        sequences,
        target_names,
        targets,
        origins=[Origin(path, row) for row in range(1, len(sequences) + 1)],
    )


def _long(table: Table, group: str, used: tuple[str, ...], names: tuple[str, ...], problems: Problems) -> Series:
    keys = table.column(group)
    numbers, good = number_columns(table, (*used, *names), problems)
    members: dict[str, list[int]] = {}
    for place in np.flatnonzero(good).tolist():
        members.setdefault(keys[place], []).append(place)
    for key, places in list(members.items()):
        change = _changed_target(numbers[places, len(used) :])
        if change is not None:
            problems.report(_unlike_targets(table, (group, key), names, places[0], places[change]))
            del members[key]
    _some(len(members), table)
    firsts = [places[0] for places in members.values()]
    return Series(
        table.path,
        used,
        [numbers[places, : len(used)].astype(np.float32) for places in members.values()],
        names,
        numbers[firsts, len(used) :].astype(np.float32) if names else None,
        tuple(members),
        [Origin(table.path, table.rows[first]) for first in firsts],
        tuple(problems.found),
    )


def _changed_target(targets: Exact) -> int | None:
    """The first step whose targets are not those of the first."""
    unlike = np.flatnonzero((targets != targets[0]).any(1))
    return int(unlike[0]) if unlike.size else None


def _unlike_targets(table: Table, key: tuple[str, str], names: tuple[str, ...], first: int, other: int) -> DataError:
    return DataError(
        f"the target ({', '.join(names)}) of {key[0]} {key[1]!r} differs from that in row {table.rows[first]}, "
        "and a sequence has one; write the same in all its rows",
        table.path,
        table.rows[other],
    )


def _by_row(
    table: Table, inputs: str | None, used: tuple[str, ...], names: tuple[str, ...], problems: Problems
) -> Series:
    numbers, good = number_columns(table, names, problems)
    positions = [table.position(name) for name in used] if inputs is None else [table.position(inputs)]
    kept: list[int] = []
    sequences: list[Numbers] = []
    for place in np.flatnonzero(good).tolist():
        cells = [table.records[place][position] for position in positions]
        row = table.rows[place]
        try:
            sequence = (
                _wide(cells, used, table.path, row)
                if inputs is None
                else listed_numbers(cells[0], inputs, table.path, row)
            )
            if sequences and sequence.shape[1] != sequences[0].shape[1]:
                raise DataError(
                    f"{sequence.shape[1]} numbers a step where the first sequence has {sequences[0].shape[1]}; "
                    "give every step the same features",
                    table.path,
                    row,
                )
        except DataError as error:
            problems.report(error)
            continue
        kept.append(place)
        sequences.append(sequence)
    _some(len(kept), table)
    width = sequences[0].shape[1]
    return Series(
        table.path,
        ("value",) if inputs is None else tuple(f"{inputs} {place}" for place in range(1, width + 1)),
        sequences,
        names,
        numbers[kept].astype(np.float32) if names else None,
        origins=[Origin(table.path, table.rows[place]) for place in kept],
        skipped=tuple(problems.found),
    )


def _wide(cells: list[str], used: tuple[str, ...], path: Path, row: int) -> Numbers:
    """A row's cells as a sequence `(T, 1)`."""
    end = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
    if not end:
        raise DataError("the row holds no number; write at least one or take the row out", path, row)
    values = np.array([as_number(cell) for cell in cells[:end]], dtype=np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
    if bad.size:
        raise not_a_number(used[bad[0]], cells[bad[0]], path, row)
    return values.astype(np.float32)[:, None]


def listed_numbers(cell: str, name: str, path: Path, row: int) -> Numbers:
    """A JSON list of numbers as `(T, 1)`, or of equally long lists as `(T, F)`."""
    try:
        values = np.array(json.loads(cell), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        values = np.array(np.nan)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or not values.size or not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise DataError(
            f"column {name!r} must hold a JSON list of finite numbers, or of equally long lists of them; mend the row",
            path,
            row,
        )
    return values.astype(np.float32)


def _some(count: int, table: Table) -> None:
    if not count:
        raise DataError("no row holds a sequence that can be used; mend at least one", table.path)
