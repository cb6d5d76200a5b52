"""How the rows of a call are shared out between threads, and where the steps of rows of unlike lengths lie.

Ragged rows are packed: longest first in every share, only steps that exist, all of step 0 before all of step 1. So the
kernel, and every product over all steps, costs what the lengths sum to. A state has a block of rows more, in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Rows of unlike lengths, in packed order.

    `order` (B,): the caller's row of each sorted one. `time`, `row` (N,): the step and the caller's row of each packed
    one. `after` and `before` (N,): where a state's value after and before this step lies. `last`, `first` (B,): where
    the sorted rows' last and initial states lie.
    """

    order: Tensor
    lengths: Tensor
    time: Tensor
    row: Tensor
    after: Tensor
    before: Tensor
    last: Tensor
    first: Tensor
    starts: Tensor  # (shares, 2, T + 1): for a step, then for a block of states, what to add to a row's number

    @property
    def back(self) -> Tensor:
        """The sorted place of each of the caller's rows."""
        found = torch.empty_like(self.order)
        found[self.order] = torch.arange(len(found))
        return found


def shared(batch: int, shares: int) -> list[int]:
    """Bounds of so many shares of the rows."""
    return [batch // shares * k + min(k, batch % shares) for k in range(shares + 1)]


@lru_cache(maxsize=64)
def dense_starts(steps: int) -> Tensor:
    """Rows of one length lie where strides say, so nothing is added."""
    return torch.zeros(steps + 1, dtype=torch.int64)


def packed_rows(lengths: Tensor, steps: int, shares: int, *, reverse: bool) -> tuple[list[int], Ragged]:
    """Bounds of the shares, and where everything lies; the longest rows are dealt out one by one."""
    order = torch.argsort(lengths, descending=True, stable=True)
    parts = [order[k::shares] for k in range(shares)]
    bounds = [sum(len(p) for p in parts[:k]) for k in range(shares + 1)]
    order = torch.cat(parts)
    sorted_lengths = lengths[order].to(torch.int64).contiguous()
    starts = torch.empty(shares, 2, steps + 1, dtype=torch.int64)
    packed, blocks = 0, 0
    times, rows, states = [], [], []
    for k, (first, end) in enumerate(pairwise(bounds)):
        alive = torch.arange(steps)[:, None] < sorted_lengths[first:end]
        before = torch.cat((torch.zeros(1, dtype=torch.int64), alive.sum(1).cumsum(0)))
        starts[k, 0] = packed - first + before
        starts[k, 1, 0] = blocks - first
        starts[k, 1, 1:] = blocks + (end - first) - first + before[:-1]
        time, row = alive.nonzero(as_tuple=True)
        times.append(time)
        rows.append(row + first)
        states.append(starts[k, 1])
        packed, blocks = packed + len(time), blocks + (end - first) + len(time)
    share = torch.repeat_interleave(torch.arange(shares), torch.tensor([len(t) for t in times]))
    time, row = torch.cat(times), torch.cat(rows)
    block = torch.stack(states)
    lower, upper = block[share, time] + row, block[share, time + 1] + row
    every = torch.arange(len(order))
    owner = torch.repeat_interleave(torch.arange(shares), torch.tensor([b - a for a, b in pairwise(bounds)]))
    ends, begins = block[owner, sorted_lengths] + every, block[owner, 0] + every
    if reverse:
        lower, upper, ends, begins = upper, lower, begins, ends
    return bounds, Ragged(order, sorted_lengths, time, order[row], upper, lower, ends, begins, starts)
