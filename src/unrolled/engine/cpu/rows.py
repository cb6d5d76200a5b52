"""How the rows of a call are shared out between threads, and where the steps of rows of unlike lengths lie.

Ragged rows are packed: longest first in every share, only steps that exist, all of step 0 before all of step 1. So the
kernel, and every product over all steps, costs what the lengths sum to. A state has a block of rows more, in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Steps of all rows up to which what was worked out is remembered: both directions and all layers have the same lengths.
REMEMBERED = 1 << 18


@dataclass(frozen=True)
class Ragged:
    """Rows of unlike lengths, in packed order.

    `order` and `back` (B,): the caller's row of each sorted one, and the other way round. `count`: N, the steps of all
    rows. `batch_major`, `time_major` (N,): the place of each packed step in (B, T) and in (T, B). `after` and `before`
    (N,): where a state's value after and before this step lies. `last`, `first` (B,): where the last and initial states
    of the caller's rows lie. `dense` (B * T,): the packed step of each step, or N; `dense_after`: the same of a state's
    values, or a row behind them all.
    """

    order: Tensor
    back: Tensor
    lengths: Tensor
    count: int
    batch_major: Tensor
    time_major: Tensor
    after: Tensor
    before: Tensor
    last: Tensor
    first: Tensor
    dense: Tensor
    dense_after: Tensor
    starts: Tensor  # (shares, 2, T + 1): for a step, then for a block of states, what to add to a row's number


def shared(batch: int, shares: int) -> list[int]:
    """Bounds of so many shares of the rows."""
    return [batch // shares * k + min(k, batch % shares) for k in range(shares + 1)]


@lru_cache(maxsize=64)
def dense_starts(steps: int) -> Tensor:
    """Rows of one length lie where strides say, so nothing is added."""
    return torch.zeros(steps + 1, dtype=torch.int64)


def packed_rows(lengths: Tensor, steps: int, shares: int, *, reverse: bool) -> tuple[list[int], Ragged]:
    """Bounds of the shares, and where everything lies; the longest rows are dealt out one by one."""
    numbers = lengths.numpy().astype(np.int64)
    if steps * len(numbers) > REMEMBERED:
        return _packed_rows(numbers, steps, shares, reverse)
    return _remembered(numbers.tobytes(), steps, shares, reverse)


@lru_cache(maxsize=16)
def _remembered(lengths: bytes, steps: int, shares: int, reverse: bool) -> tuple[list[int], Ragged]:
    return _packed_rows(np.frombuffer(lengths, np.int64), steps, shares, reverse)


def _packed_rows(lengths: npt.NDArray[np.int64], steps: int, shares: int, reverse: bool) -> tuple[list[int], Ragged]:
    batch = len(lengths)
    order = np.argsort(-lengths, kind="stable")
    bounds = [0, *np.cumsum([len(order[k::shares]) for k in range(shares)]).tolist()]
    order = np.concatenate([order[k::shares] for k in range(shares)])
    sorted_lengths = lengths[order]
    starts = np.empty((shares, 2, steps + 1), np.int64)
    packed, parts = 0, []
    for k in range(shares):
        first, end = bounds[k], bounds[k + 1]
        own = sorted_lengths[first:end]
        alive = (end - first) - np.bincount(own, minlength=steps + 1).cumsum()[:steps]
        before = np.concatenate(([0], alive.cumsum()))
        # the block of first states comes before those of the steps
        blocks = packed + first
        starts[k, 0] = packed - first + before
        starts[k, 1] = blocks - first + np.concatenate(([0], (end - first) + before[:-1]))
        time, rows = np.repeat(np.arange(steps), alive), np.arange(first, end)
        row = np.arange(first, first + len(time)) - np.repeat(before[:-1], alive)
        states = starts[k, 1]
        parts.append((time, row, states[time] + row, states[time + 1] + row, states[own] + rows, states[0] + rows))
        packed += len(time)
    time, row, lower, upper, ends, begins = (np.concatenate(part) for part in zip(*parts, strict=True))
    if reverse:
        lower, upper, ends, begins = upper, lower, begins, ends
    back, row = np.argsort(order), order[row]
    place = row * steps + time
    dense, dense_after = np.full(batch * steps, packed), np.full(batch * steps, packed + batch)
    dense[place], dense_after[place] = np.arange(packed), upper

    def tensor(values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.int64))

    found = (place, time * batch + row, upper, lower, ends[back], begins[back], dense, dense_after, starts)
    return bounds, Ragged(tensor(order), tensor(back), tensor(sorted_lengths), packed, *map(tensor, found))
