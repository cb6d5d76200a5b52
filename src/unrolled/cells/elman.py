"""Plain recurrent networks: the hidden layer fed back (Elman) or the output fed back (Jordan)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import ACTIVATIONS, Cell, state, vector
from unrolled.errors import CellError


def check_activation(cell: str, name: str) -> None:
    """CellError unless the activation is in the table."""
    if name not in ACTIVATIONS:
        raise CellError(f"{cell} was given the activation {name!r}; there are {', '.join(sorted(ACTIVATIONS))}.")


@dataclass(frozen=True)
class Elman(Cell):
    """Plain recurrent network: h_t = f(W x_t + U h_{t-1} + b) (Elman 1990).

    States: h (B, O). `activation` is f: tanh, sigmoid, relu or any other of `unrolled.cell.ACTIVATIONS`.
    """

    activation: str = "tanh"
    gates = ("h",)
    state = state(h="output")

    def __post_init__(self) -> None:
        check_activation("Elman", self.activation)

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = ACTIVATIONS[self.activation](x.h + u.h)
        return h, self.next(h=h)


@dataclass(frozen=True)
class Jordan(Cell):
    """The output is fed back: a_t = f(W x_t + U y_{t-1} + b), y_t = g(P a_t + c) (Jordan 1986).

    States: y (B, O). `activation` is f, `output_activation` is g, which keeps what is fed back in bounds.
    """

    activation: str = "tanh"
    output_activation: str = "tanh"
    gates = ("a",)
    state = state(y="output")
    products = {"y": ("hidden", "output")}
    vectors = {"c": vector(size="output")}

    def __post_init__(self) -> None:
        check_activation("Jordan", self.activation)
        check_activation("Jordan", self.output_activation)

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a = ACTIVATIONS[self.activation](x.a + u.a)
        y = ACTIVATIONS[self.output_activation](u("y", a) + p.c)
        return y, self.next(y=y)
