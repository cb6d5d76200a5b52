"""Attention: what a step of one sequence should look at in another sequence, or in a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers.lengths import as_lengths, valid

ATTENTIONS = ("additive", "multiplicative")


class Memory(NamedTuple):
    """What is looked at: keys (B, S, K), values (B, S, M), and which places are real (B, S)."""

    keys: Tensor
    values: Tensor
    mask: Tensor

    def take(self, rows: Tensor) -> Memory:
        """The rows (N,) of it, in that order and as often as they are named."""
        return Memory(*(part[rows] for part in self))


class Attention(nn.Module):
    """Weights over the places of a memory, and the mean of its values under them.

    a_ts = softmax_s(e_ts), c_t = sum_s a_ts m_s, with the score of place s for the query q_t

    - `additive`: e_ts = v . tanh(W q_t + U m_s + d), `size` wide (Bahdanau et al. 2015);
    - `multiplicative`: e_ts = q_t . W m_s / sqrt(Q) (Luong et al. 2015, "general"; divided as by Vaswani et al. 2017,
      unless `scaled` is False).

    `memory(values, lengths)` is made once a sequence, `attention(queries, memory)` looks at it: for one step (B, Q) ->
    context (B, M), weights (B, S), or for T of them (B, T, Q) -> (B, T, M), (B, T, S). Weights are 0 past a row's
    length; a row of length 0 has no weights and a context of zeros. Raises ArgumentError for another kind and for
    shapes that do not fit.
    """

    def __init__(
        self, kind: str, query_size: int, memory_size: int, *, size: int | None = None, scaled: bool = True
    ) -> None:
        super().__init__()
        if kind not in ATTENTIONS:
            raise ArgumentError(f"attention {kind!r} is not known; choose one of {', '.join(ATTENTIONS)}.")
        if kind == "multiplicative" and size is not None:
            raise ArgumentError(
                f"size is {size}, but multiplicative attention compares at the query's width; leave it out."
            )
        self.kind = kind
        self.query_size = query_size
        self.memory_size = memory_size
        self.scaled = scaled
        width = query_size if size is None else size
        self.key = nn.Linear(memory_size, width, bias=False)
        if kind == "additive":
            self.query = nn.Linear(query_size, width)
            self.score = nn.Parameter(torch.empty(width).uniform_(-1, 1) / math.sqrt(width))

    def memory(self, values: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Memory:
        """Values (B, S, M) with their keys, computed once for all queries; `lengths` (B,) are the real places."""
        if values.dim() != 3 or values.shape[2] != self.memory_size:
            raise ArgumentError(
                f"the memory has the shape {tuple(values.shape)}, but attention needs (B, S, {self.memory_size})."
            )
        mask = valid(as_lengths(lengths, values.shape[0], values.shape[1], values.device), values.shape[1])
        # What stands in the padding may be anything, NaN too, and 0 * NaN is NaN.
        values = values.where(mask[..., None], 0)
        return Memory(self.key(values), values, mask)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        if queries.dim() == 2:
            contexts, weights = self(queries[:, None], memory)
            return contexts[:, 0], weights[:, 0]
        if queries.dim() != 3 or queries.shape[2] != self.query_size or len(queries) != len(memory.values):
            raise ArgumentError(
                f"queries have the shape {tuple(queries.shape)}, but attention over {len(memory.values)} rows needs "
                f"(B, T, {self.query_size}) or (B, {self.query_size})."
            )
        # Softmax over a row without any real place would be 0 / 0, so such a row gets equal scores and is then zeroed.
        hidden = ~memory.mask & memory.mask.any(1, keepdim=True)
        scores = self._scores(queries, memory.keys).masked_fill(hidden[:, None], -math.inf)
        weights = scores.softmax(2).where(memory.mask[:, None], 0)
        return torch.bmm(weights, memory.values), weights

    def _scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, T, S)."""
        if self.kind == "multiplicative":
            # Without the divisor Adam's first steps made the scores of wide queries so large that the weights froze.
            scores = torch.bmm(queries, keys.mT)
            return scores / math.sqrt(self.query_size) if self.scaled else scores
        return torch.tanh(self.query(queries)[:, :, None] + keys[:, None]) @ self.score

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.query_size} -> {self.memory_size}"
