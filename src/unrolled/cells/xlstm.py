"""The scalar cell of the extended LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import Cell, exp, maximum, sigmoid, softplus, state, tanh


@dataclass(frozen=True)
class SLSTM(Cell):
    """sLSTM: exponential gates, a normaliser n and a stabiliser m (Beck et al. 2024, eq. 8-17).

    States: h (B, O), c (B, H), n (B, H), m (B, H). `heads` makes the recurrent matrices block-diagonal;
    `exponential_forget` chooses exp instead of sigmoid for the forget gate.
    """

    heads: int = 1
    exponential_forget: bool = False
    gates = ("i", "f", "g", "o")
    state = state(h="output", c="hidden", n="hidden", m="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        log_i = x.i + u.i
        raw_f = x.f + u.f
        log_f = raw_f if self.exponential_forget else -softplus(-raw_f)
        m = maximum(log_f + s.m, log_i)
        i = exp(log_i - m)
        f = exp(log_f + s.m - m)
        g = tanh(x.g + u.g)
        o = sigmoid(x.o + u.o)
        c = f * s.c + i * g
        n = f * s.n + i
        h = o * c / n
        return h, self.next(h=h, c=c, n=n, m=m)
