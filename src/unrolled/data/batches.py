"""Batches of sequences of unlike lengths: what goes together, and how it is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Ids, Numbers
from unrolled.errors import ArgumentError

# Lengths are blurred by this fraction before sorting, so that rows of nearly one length meet in ever new batches.
_BLUR = 0.05
# Rows of up to so many mean lengths are mixed. Finished rows cost a recurrent layer no time, and padding little.
_MIXED = 8


class LengthBatches:
    """Batches of row numbers, in random order.

    Where `lengths` are (N,), rows of all lengths meet, but for those far longer than the mean, which are with their
    like: a length often goes with what is to be learnt of a row, and a batch of one length would then hold one answer.
    Where they are (N, K), of K sides that are padded apart, rows of similar length are together, those of one first
    length sorted by the next. An epoch is a pure function of (seed, number of the epoch). Without `shuffle` (for
    evaluation) every epoch is the same, shortest rows first. Every row is in exactly one batch of an epoch; only one
    batch may be smaller, and those in which more rows would make more than `steps` steps, padding included, of (N,)
    lengths. Raises ArgumentError for no lengths and for a batch size below 1.
    """

    def __init__(
        self,
        lengths: Sequence[int] | npt.NDArray[np.integer],
        batch_size: int,
        seed: int,
        *,
        shuffle: bool = True,
        steps: int | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if self.lengths.ndim not in (1, 2) or not self.lengths.size:
            raise ArgumentError(f"lengths of shape {self.lengths.shape} make no batches; give at least one length")
        if batch_size < 1:
            raise ArgumentError(f"batch_size={batch_size} makes no batches; give at least 1")
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._sizes = _mixed(self.lengths) if shuffle and self.lengths.ndim == 1 else self.lengths
        self._edges = self._cut(steps)
        self._rank, self._ranks = 0, 1

    def __len__(self) -> int:
        return len(self._edges) - 1

    def epoch(self, number: int, start: int = 0) -> Iterator[Ids]:
        """The batches of one epoch from batch `start` on, as arrays of row numbers."""
        check_start(start, len(self))
        order, batches = self._plan(number)
        for batch in batches[start:].tolist():
            yield share_of(order[self._edges[batch] : self._edges[batch + 1]], self._rank, self._ranks)

    def of_rank(self, rank: int, ranks: int) -> LengthBatches:
        """The part of every batch that one of several processes has; `own` says where there is none."""
        found = copy(self)
        found._rank, found._ranks = rank, ranks
        return found

    def own(self, number: int, start: int = 0) -> Iterator[bool]:
        """Whether this process has a row of each batch; it is given the batch's first one where it has not."""
        _, batches = self._plan(number)
        for batch in batches[start:].tolist():
            yield self._edges[batch + 1] - self._edges[batch] > self._rank

    def _cut(self, steps: int | None) -> list[int]:
        """Where batches begin among the rows sorted by length, and the end: the same in every epoch."""
        count = len(self.lengths)
        if steps is None:
            return [*range(0, count, self.batch_size), count]
        # The row in a place is not always of the length that stands there without the blur.
        blur = (1 + _BLUR) / (1 - _BLUR) if self.shuffle else 1.0
        edges = [0]
        for place, length in enumerate(np.sort(self._sizes).tolist()):
            rows = place - edges[-1]
            if rows == self.batch_size or (rows and (rows + 1) * length * blur > steps):
                edges.append(place)
        return [*edges, count]

    def _plan(self, number: int) -> tuple[Ids, Ids]:
        """All rows sorted by length, and the order in which the batches cut from them come."""
        count = len(self.lengths)
        if not self.shuffle:
            return _in_order(self._sizes), np.arange(len(self))
        rng = np.random.default_rng((self.seed, number))
        rows = rng.permutation(count)
        lengths = self._sizes[rows]
        blurred = lengths * rng.uniform(1 - _BLUR, 1 + _BLUR, lengths.shape)
        if lengths.ndim == 2:
            # Whole numbers, so that the sides after them have rows of one length to sort.
            blurred[:, :-1] = blurred[:, :-1].round()
        return rows[_in_order(blurred)], rng.permutation(len(self))


def _mixed(lengths: Ids) -> Ids:
    """As if all rows but those far longer than the mean were of one length: the longest that any of them may be."""
    usual = min(int(_MIXED * lengths.mean()), int(lengths.max()))
    return np.maximum(lengths, usual)


def _in_order(lengths: npt.NDArray[Any]) -> Ids:
    """Row numbers by their first length, those with equal ones by the next; (N,) or (N, K)."""
    return np.lexsort(lengths.reshape(len(lengths), -1).T[::-1])


def share_of(rows: Ids, rank: int, ranks: int) -> Ids:
    """Every so-manieth row, the first of all where that gives none."""
    return rows[rank::ranks] if len(rows) > rank else rows[:1]


def check_start(start: int, count: int) -> None:
    """Refuse to begin an epoch outside it."""
    if not 0 <= start <= count:
        raise ArgumentError(f"start={start} is outside an epoch of {count} steps; give 0 to {count}")


def pad_ids(rows: Sequence[npt.NDArray[np.integer]]) -> tuple[Ids, Ids]:
    """Id arrays `(T_b,)` as one `(B, T)` int64 filled up with 0, and their lengths `(B,)` int64; T is the longest."""
    lengths = _lengths(rows, 1)
    padded = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
    padded[_inside(lengths)] = np.concatenate(rows)
    return padded, lengths


def pad_numbers(rows: Sequence[npt.NDArray[np.floating]]) -> tuple[Numbers, Ids]:
    """Sequences `(T_b, F)` as one `(B, T, F)` float32 filled up with 0, and their lengths `(B,)` int64."""
    lengths = _lengths(rows, 2)
    widths = {row.shape[1] for row in rows}
    if len(widths) > 1:
        raise ArgumentError(f"sequences of {sorted(widths)} features cannot share a batch; give equal numbers of them")
    padded = np.zeros((len(rows), int(lengths.max()), widths.pop()), dtype=np.float32)
    padded[_inside(lengths)] = np.concatenate(rows)
    return padded, lengths


def _lengths(rows: Sequence[npt.NDArray[np.generic]], dimensions: int) -> Ids:
    if not len(rows):
        raise ArgumentError("no sequence was given to be padded; give at least one")
    for place, row in enumerate(rows):
        if row.ndim != dimensions:
            raise ArgumentError(f"sequence {place} has shape {row.shape}; give arrays of {dimensions} dimension(s)")
    return np.array([len(row) for row in rows], dtype=np.int64)


def _inside(lengths: Ids) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = np.arange(int(lengths.max())) < lengths[:, None]
    return inside
