"""Units that remember on their own: IndRNN and the leaky integrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import ACTIVATIONS, Cell, state, tanh, vector
from unrolled.cells.elman import check_activation
from unrolled.errors import CellError


@dataclass(frozen=True)
class IndRNN(Cell):
    """Independently recurrent network: h_t = f(W x_t + w h_{t-1} + b), one recurrent weight w a unit (Li et al. 2018).

    States: h (B, O). `activation` is f.
    """

    activation: str = "relu"
    gates = ("h",)
    state = state(h="output")
    vectors = {"w": vector(1.0)}

    def __post_init__(self) -> None:
        check_activation("IndRNN", self.activation)

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = ACTIVATIONS[self.activation](x.h + p.w * s.h)
        return h, self.next(h=h)


@dataclass(frozen=True)
class LeakyIntegrator(Cell):
    """h_t = (1 - leak) h_{t-1} + leak tanh(W x_t + U h_{t-1} + b) (Jaeger et al. 2007).

    States: h (B, O). 1 / leak is the time constant in steps.
    """

    leak: float = 0.3
    gates = ("h",)
    state = state(h="output")

    def __post_init__(self) -> None:
        if not 0.0 < self.leak <= 1.0:
            raise CellError(f"LeakyIntegrator was given the leak {self.leak}, but it must be above 0 and at most 1.")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = (1 - self.leak) * s.h + self.leak * tanh(x.h + u.h)
        return h, self.next(h=h)
