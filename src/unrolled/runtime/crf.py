"""A conditional random field over the labels of a sequence: the likeliest labels, and p of each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unrolled.runtime.parts import Ids, valid
from unrolled.runtime.weights import Array, Weights

Exact = npt.NDArray[np.float64]


class ConditionalRandomField:
    """p(y | x) = exp(s(y)) / Z; see `models.ConditionalRandomField`. Emissions (B, T, K), lengths (B,) at least 1."""

    def __init__(self, labels: int, weights: Weights) -> None:
        self.start = weights.take("start", labels)
        self.end = weights.take("end", labels)
        self.transitions = weights.take("transitions", labels, labels)

    def decode(self, emissions: Array, lengths: Ids) -> Ids:
        """The likeliest labels (B, T) by Viterbi's algorithm; 0 past the length."""
        inside = valid(lengths, emissions.shape[1])
        best = self.start + emissions[:, 0]
        stay = np.broadcast_to(np.arange(best.shape[1]), best.shape)
        came = []
        for t in range(1, emissions.shape[1]):
            scores = best[:, :, None] + self.transitions
            best = np.where(inside[:, t, None], scores.max(1) + emissions[:, t], best)
            came.append(np.where(inside[:, t, None], scores.argmax(1), stay))
        path = [(best + self.end).argmax(1)]
        for before in reversed(came):
            path.append(before[np.arange(len(before)), path[-1]])
        found: Ids = np.stack(path[::-1], 1) * inside
        return found

    def marginals(self, emissions: Exact, lengths: Ids) -> Exact:
        """p(y_t = k | x), (B, T, K), by the forward and backward algorithms; 0 past the length."""
        steps = emissions.shape[1]
        inside = valid(lengths, steps)
        alpha, beta = np.empty(emissions.shape), np.empty(emissions.shape)
        alpha[:, 0] = self.start + emissions[:, 0]
        for t in range(1, steps):
            after = _log_sum(alpha[:, t - 1, :, None] + self.transitions, 1) + emissions[:, t]
            alpha[:, t] = np.where(inside[:, t, None], after, alpha[:, t - 1])
        beta[:, -1] = self.end
        for t in range(steps - 1, 0, -1):
            before = _log_sum(self.transitions + (emissions[:, t] + beta[:, t])[:, None], 2)
            # A row that ends here begins its way back at the end.
            beta[:, t - 1] = np.where(inside[:, t, None], before, self.end)
        total = _log_sum(alpha[:, -1] + self.end, 1)
        found: Exact = np.where(inside[..., None], np.exp(alpha + beta - total[:, None, None]), 0)
        return found


def _log_sum(scores: Exact, axis: int) -> Exact:
    """Log sum exp along an axis."""
    highest = scores.max(axis, keepdims=True)
    found: Exact = (np.log(np.exp(scores - highest).sum(axis, keepdims=True)) + highest).squeeze(axis)
    return found
