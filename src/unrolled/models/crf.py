"""A conditional random field over the labels of a sequence (Lafferty, McCallum and Pereira 2001)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError


class ConditionalRandomField(nn.Module):
    """p(y | x) = exp(s(y)) / Z, s(y) = a_{y_1} + sum_t e_{t, y_t} + sum_t A_{y_t, y_{t+1}} + b_{y_T}.

    `emissions` e are (B, T, K), `labels` y (B, T) int64, `lengths` (B,) at least 1; what lies past a length counts for
    nothing. Raises ArgumentError for shapes that do not fit.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(labels))
        self.end = nn.Parameter(torch.zeros(labels))
        self.transitions = nn.Parameter(torch.zeros(labels, labels))

    def log_likelihood(self, emissions: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Log p(y | x) of each row, (B,)."""
        self._check(emissions, lengths)
        if labels.shape != emissions.shape[:2]:
            raise ArgumentError(f"labels are {tuple(labels.shape)} for emissions {tuple(emissions.shape)}; give (B, T)")
        return self._score(emissions, labels, lengths) - self.log_partition(emissions, lengths)

    def _score(self, emissions: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        inside = self._inside(emissions, lengths)
        chosen = emissions.gather(2, labels[:, :, None])[:, :, 0]
        moves = self.transitions[labels[:, :-1], labels[:, 1:]]
        last = labels.gather(1, lengths[:, None] - 1)[:, 0]
        score: Tensor = self.start[labels[:, 0]] + self.end[last]
        return score + (chosen * inside).sum(1) + (moves * inside[:, 1:]).sum(1)

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Log Z = log sum_y exp(s(y)) of each row, (B,), by the forward algorithm."""
        inside = self._inside(emissions, lengths)
        alpha = self.start + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            after = torch.logsumexp(alpha[:, :, None] + self.transitions, 1) + emissions[:, t]
            alpha = torch.where(inside[:, t, None], after, alpha)
        return torch.logsumexp(alpha + self.end, 1)

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest labels (B, T) by Viterbi's algorithm; 0 past the length."""
        self._check(emissions, lengths)
        inside = self._inside(emissions, lengths)
        best = self.start + emissions[:, 0]
        stay = torch.arange(best.shape[1], device=best.device).expand_as(best)
        came = []
        for t in range(1, emissions.shape[1]):
            score, before = (best[:, :, None] + self.transitions).max(1)
            best = torch.where(inside[:, t, None], score + emissions[:, t], best)
            came.append(torch.where(inside[:, t, None], before, stay))
        path = [(best + self.end).argmax(1)]
        for before in reversed(came):
            path.append(before.gather(1, path[-1][:, None])[:, 0])
        return torch.stack(path[::-1], 1) * inside

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """p(y_t = k | x), (B, T, K): the derivative of log Z by the emissions."""
        self._check(emissions, lengths)
        with torch.enable_grad():
            e = emissions.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.log_partition(e, lengths).sum(), e)
        return found

    @staticmethod
    def _inside(emissions: Tensor, lengths: Tensor) -> Tensor:
        return torch.arange(emissions.shape[1], device=emissions.device) < lengths[:, None]

    def _check(self, emissions: Tensor, lengths: Tensor) -> None:
        if emissions.dim() != 3 or emissions.shape[2] != len(self.start):
            raise ArgumentError(f"emissions are {tuple(emissions.shape)}; give (B, T, {len(self.start)})")
        if lengths.shape != emissions.shape[:1] or bool((lengths < 1).any() | (lengths > emissions.shape[1]).any()):
            raise ArgumentError(f"lengths must be {len(emissions)} numbers from 1 to {emissions.shape[1]}; give those")
