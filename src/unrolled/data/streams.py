"""Parallel streams of text for truncated back-propagation through time (Williams and Peng 1990)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Flags, Ids
from unrolled.data.batches import check_start
from unrolled.errors import ArgumentError, DataError


class Window(NamedTuple):
    """The next steps of every stream: `targets[b, t]` is the token after `inputs[b, t]`.

    `inputs` and `targets` are `(B, T)` int64, of which row b has `lengths[b]` steps and then 0; `lengths` is `(B,)`
    int64 and may be 0; `fresh` is `(B,)` bool: row b does not go on from its last window, so its state starts anew.
    """

    inputs: Ids
    targets: Ids
    lengths: Ids
    fresh: Flags


class TokenStreams:
    """Documents cut into windows of T tokens, dealt to B streams that each read their share in order.

    A document of n tokens has ceil((n - 1) / T) windows. All windows, the documents in random order (with `shuffle`),
    are dealt to the streams in contiguous shares that differ by at most one window, so a long document is divided
    between streams. Every token but the first of a document is a target exactly once an epoch; no window crosses a
    document's end. An epoch is a pure function of (seed, number of the epoch): the share of a stream is fixed, the
    order of the pieces of documents inside it is drawn.
    """

    def __init__(
        self,
        documents: Sequence[npt.NDArray[np.integer]],
        streams: int,
        window: int,
        seed: int,
        *,
        shuffle: bool = True,
    ) -> None:
        if streams < 1 or window < 1:
            raise ArgumentError(f"streams={streams} and window={window} read nothing; give at least 1 of each")
        usable = [document for document in documents if len(document) > 1]
        if not usable:
            raise DataError("no document has two tokens, and one is needed to foretell the other; give more text")
        if shuffle:
            usable = [usable[place] for place in np.random.default_rng(seed).permutation(len(usable))]
        self.streams = streams
        self.window = window
        self.seed = seed
        self.shuffle = shuffle
        self._tokens = np.concatenate(usable)
        self._cut(np.array([len(document) for document in usable]))

    def _cut(self, sizes: Ids) -> None:
        """Where each window starts and how long it is, which stream reads it and which windows begin a piece."""
        counts = -(-(sizes - 1) // self.window)
        total = int(counts.sum())
        first_window = np.cumsum(counts) - counts
        document = np.repeat(np.arange(len(sizes)), counts)
        offset = (np.arange(total) - first_window[document]) * self.window
        self._starts: Ids = (np.cumsum(sizes) - sizes)[document] + offset
        self._lengths: Ids = np.minimum(self.window, sizes[document] - 1 - offset)
        # Stream b has the windows bounds[b] .. bounds[b + 1] - 1.
        self._bounds: Ids = np.arange(self.streams + 1) * total // self.streams
        self._stream: Ids = np.repeat(np.arange(self.streams), np.diff(self._bounds))
        self._begins: Flags = np.zeros(total, dtype=bool)
        self._begins[first_window] = True
        self._begins[self._bounds[self._bounds < total]] = True

    def __len__(self) -> int:
        """Windows an epoch."""
        return int(np.diff(self._bounds).max())

    @property
    def targets(self) -> int:
        """Tokens to foretell in an epoch."""
        return int(self._lengths.sum())

    def epoch(self, number: int, start: int = 0) -> Iterator[Window]:
        """The windows of one epoch from window `start` on."""
        check_start(start, len(self))
        order = self._order(number)
        for step in range(start, len(self)):
            places = self._bounds[:-1] + step
            active = places < self._bounds[1:]
            yield self._read(order[np.minimum(places, len(order) - 1)], active)

    def _order(self, number: int) -> Ids:
        """The windows in the order of this epoch: the pieces of each stream drawn anew, each piece in its own order."""
        windows = np.arange(len(self._starts))
        if not self.shuffle:
            return windows
        piece = np.cumsum(self._begins) - 1
        draw = np.random.default_rng((self.seed, number)).random(int(piece[-1]) + 1)
        return np.lexsort((windows, draw[piece], self._stream))

    def _read(self, windows: Ids, active: Flags) -> Window:
        lengths = np.where(active, self._lengths[windows], 0)
        inside = np.arange(self.window) < lengths[:, None]
        # Steps past a row's length point at its first token, which always exists, and are blanked afterwards.
        places = self._starts[windows, None] + np.where(inside, np.arange(self.window), 0)
        inputs = np.where(inside, self._tokens[places], 0).astype(np.int64, copy=False)
        targets = np.where(inside, self._tokens[places + 1], 0).astype(np.int64, copy=False)
        return Window(inputs, targets, lengths, self._begins[windows] & active)
