"""Which rows are held out: by label in proportion, and never a group in two parts."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from unrolled.data.arrays import Exact, Ids
from unrolled.errors import ArgumentError, DataError


def split_rows(
    n: int,
    fraction: float,
    seed: int,
    *,
    groups: Sequence[Hashable] | None = None,
    labels: Sequence[Hashable] | None = None,
) -> tuple[Ids, Ids]:
    """The rows 0..n-1 in two parts `(train, held)`, each sorted and none empty; `held` is about `fraction` of them.

    With `labels` each label is held out in proportion and every label keeps a row in `train`; with `groups` no group is
    in both parts (labels are then only approximately in proportion). A pure function of its arguments. Raises
    ArgumentError, and DataError where one group has all the rows.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"{fraction} of the rows cannot be held out to validate on; give a share between 0 and 1")
    if n < 2:
        raise ArgumentError(f"two parts cannot be made of {n} row{'s' * (n != 1)}; give at least 2")
    for name, values in (("groups", groups), ("labels", labels)):
        if values is not None and len(values) != n:
            raise ArgumentError(f"{len(values)} {name} for {n} rows; give one for each row")
    rng = np.random.default_rng(seed)
    kinds = _codes(labels if labels is not None else [None] * n)
    held = _held_rows(kinds, fraction, rng) if groups is None else _held_groups(kinds, _codes(groups), fraction, rng)
    return np.flatnonzero(~held), np.flatnonzero(held)


MOST_HELD = 500_000
"""So many characters say how good a model is to a few thousandths of a bit; more only take time from training."""


def hold_out(
    texts: list[str], fraction: float, path: Path | None = None, *, units: str = "char", most: int = MOST_HELD
) -> tuple[list[str], list[str] | None]:
    """The last `fraction` of the characters, at most `most`, taken off; a document on the border is cut in two.

    Words and symbols stay whole: there it is cut behind the white space between two of them.
    """
    if fraction == 0:
        return texts, None
    total = sum(map(len, texts))
    keep = total - held_characters(total, fraction, most)
    train, valid = [], []
    for text in texts:
        cut = behind_gap(text, keep, units)
        if text[:cut]:
            train.append(text[:cut])
        if text[cut:]:
            valid.append(text[cut:])
        keep = max(0, keep - len(text))
    if not train or not valid:
        raise too_short(total, fraction, path)
    return train, valid


def held_characters(total: int, fraction: float, most: int = MOST_HELD) -> int:
    """How many of so many characters are held out. Raises ArgumentError."""
    if not 0 < fraction < 1:
        raise ArgumentError(f"validation is {fraction}, it must be 0 or more and below 1")
    return min(most, round(fraction * total))


def behind_gap(text: str, place: int, units: str) -> int:
    """The first place from `place` on that a unit begins at; the end where none does. A place of 0 stays."""
    if units not in ("word", "symbol") or not 0 < place < len(text):
        return place
    tabs = units == "symbol" and "\t" in text  # symbols may have spaces in them then
    gap = re.compile(r"\t\s*" if tabs else r"\s+").search(text, place - 1)
    return len(text) if gap is None else gap.end()


def too_short(total: int, fraction: float, path: Path | None) -> DataError:
    """The error for a text of which nothing can be held out."""
    return DataError(
        f"the text has only {total:,} characters, too few to hold {fraction:.0%} out; "
        "give more text or a validation file",
        path,
    )


def shared_rows(train_keys: Iterable[Hashable], other_keys: Iterable[Hashable]) -> int:
    """How many rows of the other part also occur in the training part."""
    known = set(train_keys)
    return sum(key in known for key in other_keys)


def _codes(values: Sequence[Hashable]) -> Ids:
    """Each value as the number of its first appearance."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(value, len(number)) for value in values], dtype=np.int64)


def _held_rows(kinds: Ids, fraction: float, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    n = len(kinds)
    sizes = np.bincount(kinds)
    quota = _shares(sizes, fraction)
    if len(sizes) == 1 or quota.sum() == 0:
        # No label can give a row by proportion alone: hold out one row of the largest.
        quota[np.argmax(sizes)] = min(max(quota[np.argmax(sizes)], 1), n - 1)
    order = rng.permutation(n)
    order = order[np.argsort(kinds[order], kind="stable")]
    place_in_kind = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held = np.zeros(n, dtype=bool)
    held[order] = place_in_kind < quota[kinds[order]]
    return held


def _shares(sizes: Ids, fraction: float) -> Ids:
    """Rows to hold out of each kind: in proportion, what rounding leaves to the largest remainders, one row kept."""
    exact = sizes * fraction
    shares = np.floor(exact).astype(np.int64)
    for kind in np.argsort(shares - exact, kind="stable")[: round(float(exact.sum())) - int(shares.sum())]:
        shares[kind] += 1
    kept: Ids = np.minimum(shares, sizes - 1)
    return kept


def _held_groups(
    kinds: Ids, groups: Ids, fraction: float, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    count = int(groups.max()) + 1
    if count < 2:
        raise DataError("all rows belong to one group, and no group may be in two parts; give at least two groups")
    counts = np.zeros((count, int(kinds.max()) + 1))
    np.add.at(counts, (groups, kinds), 1)
    target = counts.sum(0) * fraction
    taken: list[int] = []
    missing: Exact = target
    # Each group in turn is held out if that brings the held counts nearer to their targets.
    for group in rng.permutation(count).tolist():
        if len(taken) < count - 1 and np.abs(missing - counts[group]).sum() < np.abs(missing).sum():
            taken.append(group)
            missing = missing - counts[group]
    if not taken:
        taken = [int(np.abs(target - counts).sum(1).argmin())]
    return np.isin(groups, taken)
