"""From the outputs at every step to one vector a sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers.lengths import as_lengths, valid

KINDS = ("last", "mean", "max", "attention")


class Pooling(nn.Module):
    """One vector for each sequence of outputs (B, T, F), over its true length only: (B, F).

    - `last`: the output at the last step; with `bidirectional` the second half of the features, which reads backwards,
      is taken at the first step, where that direction has seen everything.
    - `mean`, `max`: over the steps.
    - `attention`: sum_t a_t h_t with a = softmax_t(v . tanh(A h_t + d)) (Yang et al. 2016); `attention()` gives a.

    A sequence of length 0 becomes zeros. Raises ArgumentError for another kind or shapes that do not fit.
    """

    def __init__(self, kind: str, size: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ArgumentError(f"pooling {kind!r} is not known; choose one of {', '.join(KINDS)}.")
        if bidirectional and size % 2:
            raise ArgumentError(
                f"two directions make an even number of features, but size is {size}; give layer.output_size."
            )
        self.kind = kind
        self.size = size
        self.bidirectional = bidirectional
        if kind == "attention":
            self.hidden = nn.Linear(size, size)
            self.score = nn.Parameter(torch.empty(size).uniform_(-1, 1) / math.sqrt(size))

    def forward(self, outputs: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        lengths = self._check(outputs, lengths)
        if outputs.shape[1] == 0:
            return outputs.sum(1)
        mask = valid(lengths, outputs.shape[1])[..., None]
        if self.kind == "last":
            return self._last(outputs, lengths)
        if self.kind == "mean":
            return outputs.where(mask, 0).sum(1) / lengths.clamp(min=1)[:, None]
        if self.kind == "max":
            return outputs.where(mask, -math.inf).amax(1).where(lengths[:, None] > 0, 0)
        return (self.attention(outputs, lengths)[..., None] * outputs.where(mask, 0)).sum(1)

    def attention(self, outputs: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """How much each step counts, (B, T): positive, summing to 1 over the true steps, 0 after them."""
        if self.kind != "attention":
            raise ArgumentError(
                f"pooling {self.kind!r} has no weights to show; build the model with pooling 'attention'."
            )
        lengths = self._check(outputs, lengths)
        mask = valid(lengths, outputs.shape[1])
        # Softmax over a row without any true step would be 0 / 0, so such a row gets equal scores and is then zeroed.
        scores = torch.tanh(self.hidden(outputs.where(mask[..., None], 0))) @ self.score
        scores = scores.masked_fill(~mask & (lengths[:, None] > 0), -math.inf)
        return scores.softmax(1).where(mask, 0)

    def _last(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(len(outputs), device=outputs.device)
        last = outputs[rows, (lengths - 1).clamp(min=0)]
        if self.bidirectional:
            half = self.size // 2
            last = torch.cat((last[:, :half], outputs[:, 0, half:]), 1)
        return last.where(lengths[:, None] > 0, 0)

    def _check(self, outputs: Tensor, lengths: Tensor | Sequence[int] | None) -> Tensor:
        if outputs.dim() != 3 or outputs.shape[2] != self.size:
            raise ArgumentError(
                f"pooling was given {tuple(outputs.shape)}, but it needs outputs of (B, T, {self.size})."
            )
        return as_lengths(lengths, outputs.shape[0], outputs.shape[1], outputs.device)

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.size}" + (", bidirectional" if self.bidirectional else "")
