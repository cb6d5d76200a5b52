"""From outputs at every step to one vector, step by step in constant memory; see `layers.Pooling` for the equations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unrolled.data.arrays import Exact, Numbers
from unrolled.streams.saved import Kept

Scores = Callable[[Numbers], Numbers]
"""How much each of the outputs (T, E) counts before the softmax, (T,)."""


class Pool:
    """One vector (E,) for what was read so far; zeros before the first step.

    - `last`: the last output; `max`: the largest of each feature.
    - `mean`: the sum of all outputs in float64, and their number.
    - `attention`: sum_t exp(s_t - m) h_t and sum_t exp(s_t - m) with m = max_t s_t; when a larger score comes, both are
      brought to it, as in the softmax of Milakov and Gimelshein 2018.
    """

    def __init__(self, kind: str, size: int, scores: Scores | None = None) -> None:
        self.kind = kind
        self.scores = scores
        self.sum: Exact = np.zeros(size)
        self.weight = np.zeros(1)
        self.highest = np.full(1, -np.inf)

    def take(self, outputs: Numbers) -> None:
        """The next outputs (T, E), at least one."""
        if self.kind == "last":
            self.sum = outputs[-1].astype(np.float64)
        elif self.kind == "max":
            most = outputs.max(0)
            self.sum = np.maximum(self.sum, most) if self.weight[0] else most.astype(np.float64)
        elif self.kind == "mean":
            self.sum = self.sum + outputs.sum(0, dtype=np.float64)
        else:
            self._attend(outputs)
            return
        self.weight = self.weight + len(outputs)

    @property
    def vector(self) -> Numbers:
        """What the outputs so far come to, (E,)."""
        divided = self.kind in ("mean", "attention") and self.weight[0] > 0
        found: Numbers = (self.sum / self.weight[0] if divided else self.sum).astype(np.float32)
        return found

    def save(self) -> Kept:
        return Kept(sum=self.sum, weight=self.weight, highest=self.highest)

    def load(self, kept: Kept) -> None:
        self.sum = kept.finite("sum", self.sum.shape, np.float64)
        self.weight = kept.finite("weight", (1,), np.float64)
        self.highest = kept.array("highest", (1,), np.float64)

    def _attend(self, outputs: Numbers) -> None:
        if self.scores is None:
            raise TypeError("attention needs scores")
        scores = self.scores(outputs).astype(np.float64)
        highest = np.maximum(self.highest, scores.max())
        before = np.exp(self.highest - highest)
        parts = np.exp(scores - highest)
        self.sum = self.sum * before + parts @ outputs.astype(np.float64)
        self.weight = self.weight * before + parts.sum()
        self.highest = highest
