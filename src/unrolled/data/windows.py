"""Windows over series in time: what a forecaster has seen, what it is to foretell, and batches of the two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from unrolled.data.arrays import Exact, Flags, Ids, Numbers
from unrolled.data.batches import check_start, share_of
from unrolled.errors import ArgumentError

# Batches of an epoch: a large set is measured before it was read in full, a small one after several passes.
_MOST, _FEWEST = 100, 50


@dataclass(frozen=True)
class LineScale:
    """What is learnt of a line on its training part.

    Mean, standard deviation, mean absolute seasonal difference, and the least value a forecast may have (-inf: any).
    """

    mean: float
    scale: float
    seasonal: float
    least: float = -np.inf

    @classmethod
    def fit(cls, values: Exact, season: int, *, counts: bool = False) -> LineScale:
        """From values (T,); NaN is left out, and a scale that would be 0 is 1.

        What was never below 0 is not forecast below 0. Counts keep their zero: mean 0, divided by what is their mean.
        """
        mean, spread = float(np.nanmean(values)), float(np.nanstd(values))
        size = max(float(np.nanmax(np.abs(values))), float(np.finfo(np.float64).tiny))
        least = 0.0 if float(np.nanmin(values)) >= 0 else -np.inf
        if counts:
            return cls(0.0, mean if mean > 0 else 1.0, seasonal(values, season), 0.0)
        return cls(mean, spread if spread > 1e-12 * size else 1.0, seasonal(values, season), least)

    def restored(self, values: Exact) -> Exact:
        """Values as they were: x * scale + mean, not below the least."""
        return np.maximum(values * self.scale + self.mean, self.least)


def seasonal(values: Exact, season: int) -> float:
    """Mean |y_t - y_(t - season)| (T,), of neighbours where the line is too short; 0 where nothing changes."""
    for lag in (season, 1):
        differences = np.abs(values[lag:] - values[:-lag])
        known = differences[~np.isnan(differences)]
        if known.size:
            return float(known.mean())
    return 0.0


@dataclass(frozen=True)
class Line:
    """One variable of one series: T values (NaN: unknown), T past and T + F known covariates a step.

    The steps from `begin` on are to be foretold; those before it are history alone.
    """

    series: str
    target: str
    values: Exact = field(repr=False)
    past: Numbers = field(repr=False)
    known: Numbers = field(repr=False)
    scale: LineScale
    begin: int = 0
    times: Ids | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def name(self) -> str:
        """For a reader: the series, the target, or both."""
        return f"{self.series} {self.target}" if self.series and self.target else self.series or self.target

    def cut(self, begin: int, end: int) -> Line:
        """The same up to step `end`, to be foretold from `begin` on."""
        return replace(self, values=self.values[:end], past=self.past[:end], known=self.known[:end], begin=begin)


@dataclass(frozen=True)
class Block:
    """B windows: values and covariates of C steps of context and H of horizon, in units of each line's scale.

    `context` (B, C), `seen` (B, C) whether a value is known, `past` (B, C, P), `known` (B, C + H, Q), `truth` (B, H),
    `counts` (B, H) whether the truth is known, `lines` (B,) and `origins` (B,), the first step foretold.
    """

    context: Numbers
    seen: Flags
    past: Numbers
    known: Numbers
    truth: Numbers
    counts: Flags
    lines: Ids
    origins: Ids

    def __len__(self) -> int:
        return len(self.lines)


class Windows:
    """All lines end to end, so that any set of windows is one indexing; `context` and `horizon` in steps."""

    def __init__(self, lines: Sequence[Line], context: int, horizon: int) -> None:
        self.lines = tuple(lines)
        self.context = context
        self.horizon = horizon
        self.lengths = np.array([len(line) for line in lines], dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.ends = np.array([len(line.known) for line in lines], dtype=np.int64)
        self.known_starts = np.cumsum(self.ends) - self.ends
        self.centres = np.array([[line.scale.mean] for line in lines], dtype=np.float32)
        self.units = np.array([[line.scale.scale] for line in lines], dtype=np.float32)
        scaled = [(line.values - line.scale.mean) / line.scale.scale for line in lines]
        self.missing = np.concatenate([np.isnan(values) for values in scaled])
        self.values = np.concatenate([_filled(values) for values in scaled]).astype(np.float32)
        self.past = np.concatenate([line.past for line in lines])
        self.known = np.concatenate([line.known for line in lines])

    def block(self, lines: Ids, origins: Ids) -> Block:
        """The windows of these lines that foretell from these steps on.

        Before its first step a line is level and unseen; past its last value the truth does not count.
        """
        back = origins[:, None] + np.arange(-self.context, 0)
        ahead = origins[:, None] + np.arange(self.horizon)
        starts, last = self.starts[lines, None], self.lengths[lines, None] - 1
        here = starts + np.clip(back, 0, last)
        there = starts + np.minimum(ahead, last)
        whole = np.concatenate([back, ahead], 1)
        known = self.known_starts[lines, None] + np.clip(whole, 0, self.ends[lines, None] - 1)
        return Block(
            self.values[here],
            (back >= 0) & ~self.missing[here],
            self.past[here],
            self.known[known],
            self.values[there],
            (ahead <= last) & ~self.missing[there],
            lines,
            origins,
        )

    def blocks(self, lines: Ids, origins: Ids, size: int = 512) -> Iterator[Block]:
        """`block` of at most `size` windows at a time, in order."""
        for start in range(0, len(lines), size):
            yield self.block(lines[start : start + size], origins[start : start + size])

    def origins(self, most: int | None = None, stride: int = 1) -> tuple[Ids, Ids]:
        """Line and first foretold step of every window whose whole horizon lies in what is to be foretold.

        `most`: a larger stride where there would be more.
        """
        firsts = [self.least(place) for place in range(len(self.lines))]
        counts = [max(0, len(line) - self.horizon - first + 1) for line, first in zip(self.lines, firsts, strict=True)]
        if most is not None:
            stride = max(stride, -(-sum(counts) // most))
        ends = [first + count for first, count in zip(firsts, counts, strict=True)]
        steps = [np.arange(first, end, stride) for first, end in zip(firsts, ends, strict=True)]
        lines = np.repeat(np.arange(len(steps)), [len(found) for found in steps])
        return lines, np.concatenate(steps).astype(np.int64) if steps else lines

    def least(self, place: int) -> int:
        """The first step of a line that is foretold: behind it lies a whole context, or half of a short line."""
        line = self.lines[place]
        return max(line.begin, min(self.context, max(1, len(line) // 2))) if line.begin == 0 else line.begin

    @cached_property
    def everything(self) -> tuple[Ids, Ids]:
        """`origins` of all windows."""
        return self.origins()


def _filled(values: Exact) -> Exact:
    """Unknown values on the straight line between their neighbours."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    if missing.all():
        return np.zeros_like(values)
    places = np.arange(len(values))
    return np.interp(places, places[~missing], values[~missing])


class WindowBatches:
    """Training batches of windows as numbers of windows; an epoch is a pure function of (seed, its number)."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        if count < 1 or batch_size < 1:
            raise ArgumentError(f"{count} windows in batches of {batch_size} make no batch; give at least 1 of each")
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.size = min(max(count // self.batch_size, _FEWEST), _MOST)
        self._rank, self._ranks = 0, 1

    def __len__(self) -> int:
        return self.size

    def epoch(self, number: int, start: int = 0) -> Iterator[Ids]:
        """The batches of one epoch from batch `start` on; no window comes twice before all have come once."""
        check_start(start, len(self))
        rng = np.random.default_rng((self.seed, number))
        wanted = self.size * self.batch_size
        if wanted <= self.count:
            order = rng.choice(self.count, wanted, replace=False)
        else:
            order = np.concatenate([rng.permutation(self.count) for _ in range(-(-wanted // self.count))])
        for batch in range(start, self.size):
            yield share_of(order[batch * self.batch_size : (batch + 1) * self.batch_size], self._rank, self._ranks)

    def of_rank(self, rank: int, ranks: int) -> WindowBatches:
        """The part of every batch that one of several processes has; `own` says where there is none."""
        found = copy(self)
        found._rank, found._ranks = rank, ranks
        return found

    def own(self, number: int, start: int = 0) -> Iterator[bool]:
        """Whether this process has a window of each batch; it is given the batch's first one where it has not."""
        for _ in range(start, self.size):
            yield self.batch_size > self._rank
