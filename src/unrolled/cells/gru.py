"""Gated recurrent units and their simplifications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import Cell, sigmoid, state, tanh


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit, reset after the product (Cho et al. 2014; the variant that cuDNN and torch use).

    States: h (B, O).
    """

    gates = ("r", "z", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        r = sigmoid(x.r + u.r)
        z = sigmoid(x.z + u.z)
        n = tanh(x.n + r * u.n)
        h = (1 - z) * n + z * s.h
        return h, self.next(h=h)


@dataclass(frozen=True)
class GRUResetBefore(Cell):
    """Gated recurrent unit, reset before the product (Cho et al. 2014, as printed; ONNX's default).

    States: h (B, O).
    """

    gates = ("r", "z", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        r = sigmoid(x.r + u.r)
        z = sigmoid(x.z + u.z)
        n = tanh(x.n + u("n", r * s.h))
        h = (1 - z) * n + z * s.h
        return h, self.next(h=h)


@dataclass(frozen=True)
class MinimalGated(Cell):
    """Minimal gated unit: one gate both resets and updates (Zhou et al. 2016).

    States: h (B, O).
    """

    gates = ("f", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f = sigmoid(x.f + u.f)
        n = tanh(x.n + u("n", f * s.h))
        h = (1 - f) * s.h + f * n
        return h, self.next(h=h)


@dataclass(frozen=True)
class UGRNN(Cell):
    """Update gate recurrent network: a plain one with a gate that keeps the old state (Collins et al. 2017).

    States: h (B, O).
    """

    gates = ("c", "g")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        c = tanh(x.c + u.c)
        g = sigmoid(x.g + u.g)
        h = g * s.h + (1 - g) * c
        return h, self.next(h=h)
