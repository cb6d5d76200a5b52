"""Gates that do not look at the state, so that steps could run in parallel: minGRU and minLSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import Cell, sigmoid, state


@dataclass(frozen=True)
class MinGRU(Cell):
    """h_t = (1 - z) h_{t-1} + z n with z = sigmoid(W_z x_t + b_z), n = W_n x_t + b_n (Feng et al. 2024).

    States: h (B, O).
    """

    gates = ("z", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        z = sigmoid(x.z)
        h = (1 - z) * s.h + z * x.n
        return h, self.next(h=h)


@dataclass(frozen=True)
class MinLSTM(Cell):
    """h_t = (f h_{t-1} + i n) / (f + i) with gates of the input alone, n = W_n x_t + b_n (Feng et al. 2024).

    States: h (B, O).
    """

    gates = ("f", "i", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f = sigmoid(x.f)
        i = sigmoid(x.i)
        h = (f * s.h + i * x.n) / (f + i)
        return h, self.next(h=h)
