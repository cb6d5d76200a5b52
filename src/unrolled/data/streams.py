"""Parallel streams of text for truncated back-propagation through time (Williams and Peng 1990)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Flags, Ids
from unrolled.data.batches import check_start
from unrolled.errors import ArgumentError, DataError


class Window(NamedTuple):
    """The next steps of every stream: `targets[b, t]` is the token after `inputs[b, t]`.

    `inputs` and `targets` are `(B, T)` int64, of which row b has `lengths[b]` steps and then 0; `lengths` is `(B,)`
    int64 and may be 0; `fresh` is `(B,)` bool: row b does not go on from its last window, so its state starts anew.
    The first `context[b]` steps were targets of the window before, and the next window begins after `stride` steps.
    """

    inputs: Ids
    targets: Ids
    lengths: Ids
    fresh: Flags
    context: Ids
    stride: int

    @property
    def targets_in(self) -> int:
        """Targets that count."""
        return int(np.maximum(self.lengths - self.context, 0).sum())


class Tokens(Protocol):
    """Tokens end to end, in memory or on disk."""

    def take(self, places: Ids) -> npt.NDArray[np.integer]: ...


class TokenStreams:
    """Documents cut into windows of T tokens, dealt to B streams that each read their share in order.

    Windows advance by `stride` steps, by default by T. Where they overlap, all steps of a document's first window are
    its targets, of each later one the last `stride`; the others are read again so that the gradient has a past to flow
    into. All windows, the documents in random order (with `shuffle`), are dealt to the streams in contiguous shares
    that differ by at most one window, so a long document is divided between streams. Every token but the first of a
    document is a target exactly once an epoch; no window crosses a document's end. An epoch is a pure function of
    (seed, number of the epoch): the share of a stream is fixed, the order of the pieces inside it is drawn.
    """

    def __init__(
        self,
        documents: Sequence[npt.NDArray[np.integer]],
        streams: int,
        window: int,
        seed: int,
        *,
        shuffle: bool = True,
        stride: int | None = None,
    ) -> None:
        sizes = np.array([len(document) for document in documents], dtype=np.int64)
        tokens = np.concatenate(documents) if len(documents) else np.zeros(0, np.int64)
        self._begin(tokens, (np.cumsum(sizes) - sizes, sizes), streams, window, seed, shuffle, stride)

    @classmethod
    def of_flat(
        cls, tokens: Tokens, documents: tuple[Ids, Ids], streams: int, window: int, seed: int, *, shuffle: bool = True,
        stride: int | None = None,
    ) -> TokenStreams:  # fmt: skip
        """The same of documents that begin at these places and have these sizes (N,); memory grows with N alone."""
        made = cls.__new__(cls)
        made._begin(tokens, documents, streams, window, seed, shuffle, stride)
        return made

    def _begin(
        self, tokens: Tokens, documents: tuple[Ids, Ids], streams: int, window: int, seed: int, shuffle: bool,
        stride: int | None,
    ) -> None:  # fmt: skip
        offsets, sizes = documents
        if streams < 1 or window < 1:
            raise ArgumentError(f"streams={streams} and window={window} read nothing; give at least 1 of each")
        self.stride = window if stride is None else stride
        if not 1 <= self.stride <= window:
            raise ArgumentError(f"windows of {window} steps advance by {stride}; give a stride from 1 to {window}")
        usable = np.flatnonzero(sizes > 1)
        if not usable.size:
            raise DataError("no document has two tokens, and one is needed to foretell the other; give more text")
        if shuffle:
            usable = usable[np.random.default_rng(seed).permutation(len(usable))]
        self.streams = streams
        self.window = window
        self.seed = seed
        self.shuffle = shuffle
        self._tokens = tokens
        self._sizes: Ids = sizes[usable]
        self._offsets: Ids = offsets[usable]
        self._cut()
        self._own = slice(None)

    def of_rank(self, rank: int, ranks: int) -> TokenStreams:
        """The streams of one of several processes. Raises ArgumentError where there are fewer streams than those."""
        if self.streams < ranks:
            raise ArgumentError(
                f"{self.streams} streams (batch_size) cannot be divided between {ranks} processes; give {ranks} or more"
            )
        found = copy(self)
        found._own = slice(self.streams * rank // ranks, self.streams * (rank + 1) // ranks)
        return found

    def own(self, number: int, start: int = 0) -> Iterator[bool]:
        """Whether any of these streams still reads, window by window."""
        most = int(np.diff(self._bounds)[self._own].max())
        for step in range(start, len(self)):
            yield step < most

    def _cut(self) -> None:
        """The first window of each document, of each stream, and of each piece; all windows are numbered in a row."""
        counts = 1 + np.maximum(0, -(-(self._sizes - 1 - self.window) // self.stride))
        total = int(counts.sum())
        self._first: Ids = np.cumsum(counts) - counts
        # Stream b has the windows bounds[b] .. bounds[b + 1] - 1.
        self._bounds: Ids = np.arange(self.streams + 1) * total // self.streams
        self._pieces: Ids = np.union1d(self._first, self._bounds[self._bounds < total])
        self._piece_sizes: Ids = np.diff(self._pieces, append=total)

    def __len__(self) -> int:
        """Windows an epoch."""
        return int(np.diff(self._bounds).max())

    @property
    def targets(self) -> int:
        """Tokens to foretell in an epoch."""
        return int((self._sizes - 1).sum())

    def epoch(self, number: int, start: int = 0) -> Iterator[Window]:
        """The windows of one epoch from window `start` on."""
        check_start(start, len(self))
        order = self._order(number)
        begins = np.cumsum(self._piece_sizes[order]) - self._piece_sizes[order]
        for step in range(start, len(self)):
            places = self._bounds[:-1][self._own] + step
            active = places < self._bounds[1:][self._own]
            places = np.minimum(places, self._bounds[-1] - 1)
            at = np.searchsorted(begins, places, side="right") - 1
            yield self._read(self._pieces[order[at]], places - begins[at], active)

    def _order(self, number: int) -> Ids:
        """The pieces in the order of this epoch: those of each stream drawn anew."""
        if not self.shuffle:
            return np.arange(len(self._pieces))
        stream = np.searchsorted(self._bounds, self._pieces, side="right") - 1
        draw = np.random.default_rng((self.seed, number)).random(len(self._pieces))
        return np.lexsort((draw, stream))

    def _read(self, pieces: Ids, inside_piece: Ids, active: Flags) -> Window:
        """The windows that lie so far inside the pieces that begin with these windows."""
        windows = pieces + inside_piece
        document = np.searchsorted(self._first, windows, side="right") - 1
        offsets = (windows - self._first[document]) * self.stride
        context = np.where((offsets > 0) & active, self.window - self.stride, 0)
        starts = self._offsets[document] + offsets
        lengths = np.where(active, np.minimum(self.window, self._sizes[document] - 1 - offsets), 0)
        inside = np.arange(self.window) < lengths[:, None]
        # Steps past a row's length point at its first token, which always exists, and are blanked afterwards.
        places = starts[:, None] + np.where(inside, np.arange(self.window), 0)
        inputs = np.where(inside, self._tokens.take(places), 0).astype(np.int64, copy=False)
        targets = np.where(inside, self._tokens.take(places + 1), 0).astype(np.int64, copy=False)
        return Window(inputs, targets, lengths, (inside_piece == 0) & active, context, self.stride)
