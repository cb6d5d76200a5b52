"""Drawing the next unit from a model's logits. NumPy alone, so that it also serves where torch is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Sampling:
    """p ~ softmax(logits / temperature), cut to the `top_k` likeliest and to the nucleus of mass `top_p`.

    Temperature 0 takes the likeliest unit. The nucleus is the smallest set of likeliest units whose mass reaches
    `top_p` (Holtzman et al. 2020). Raises ArgumentError for a value out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ArgumentError(f"temperature is {self.temperature}, it must be 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise ArgumentError(f"top_k is {self.top_k}, it must be 1 or more, or left out")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ArgumentError(f"top_p is {self.top_p}, it must be above 0 and at most 1, or left out")

    def probabilities(self, logits: FloatArray, forbidden: Sequence[int] = ()) -> npt.NDArray[np.float64]:
        """The distribution (V,) that is drawn from; the units in `forbidden` get 0."""
        scores = np.array(logits, np.float64)
        scores[list(forbidden)] = -np.inf
        if self.temperature == 0:
            chosen = np.zeros_like(scores)
            chosen[scores.argmax()] = 1
            return chosen
        p = softmax(scores / self.temperature)
        order = np.argsort(-p, kind="stable")
        if self.top_k is not None:
            p[order[self.top_k :]] = 0
        if self.top_p is not None:
            before = np.cumsum(p[order] / p.sum()) - p[order] / p.sum()
            p[order[before >= self.top_p]] = 0
        p /= p.sum()
        return p

    def draw(self, logits: FloatArray, rng: np.random.Generator, forbidden: Sequence[int] = ()) -> int:
        """One unit drawn from logits (V,)."""
        p = self.probabilities(logits, forbidden)
        return int(np.searchsorted(np.cumsum(p), rng.random() * p.sum(), side="right").clip(max=p.nonzero()[0][-1]))


def softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """exp(s_i) / sum_j exp(s_j) over the last axis."""
    shifted: npt.NDArray[np.float64] = np.exp(scores - scores.max(-1, keepdims=True))
    shifted /= shifted.sum(-1, keepdims=True)
    return shifted


def log_softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """s_i - log sum_j exp(s_j) over the last axis."""
    shifted = scores - scores.max(-1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result
