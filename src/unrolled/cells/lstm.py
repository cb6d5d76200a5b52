"""Long short-term memory and its near relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import Cell, sigmoid, state, tanh, vector


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    States: h (B, O), what it shows; c (B, H), what it keeps.
    """

    gates = ("i", "f", "g", "o")
    state = state(h="output", c="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        i = sigmoid(x.i + u.i)
        f = sigmoid(x.f + u.f)
        g = tanh(x.g + u.g)
        o = sigmoid(x.o + u.o)
        c = f * s.c + i * g
        h = o * tanh(c)
        return h, self.next(h=h, c=c)


@dataclass(frozen=True)
class ProjectedLSTM(Cell):
    """LSTM whose output is a product of its units, so that U reads O < H values (Sak et al. 2014).

    States: h (B, O), c (B, H).
    """

    gates = ("i", "f", "g", "o")
    state = state(h="output", c="hidden")
    products = {"p": ("hidden", "output")}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        i = sigmoid(x.i + u.i)
        f = sigmoid(x.f + u.f)
        g = tanh(x.g + u.g)
        o = sigmoid(x.o + u.o)
        c = f * s.c + i * g
        h = u("p", o * tanh(c))
        return h, self.next(h=h, c=c)


@dataclass(frozen=True)
class PeepholeLSTM(Cell):
    """LSTM whose gates also see the cell state, unit by unit (Gers et al. 2002).

    States: h (B, O), c (B, H). The output gate sees the new c, the two others the old one.
    """

    gates = ("i", "f", "g", "o")
    state = state(h="output", c="hidden")
    vectors = {"peep_i": vector(), "peep_f": vector(), "peep_o": vector()}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        i = sigmoid(x.i + u.i + p.peep_i * s.c)
        f = sigmoid(x.f + u.f + p.peep_f * s.c)
        g = tanh(x.g + u.g)
        c = f * s.c + i * g
        o = sigmoid(x.o + u.o + p.peep_o * c)
        h = o * tanh(c)
        return h, self.next(h=h, c=c)


@dataclass(frozen=True)
class CoupledLSTM(Cell):
    """LSTM that forgets exactly as much as it takes in: i = 1 - f (Greff et al. 2017, variant CIFG).

    States: h (B, O), c (B, H).
    """

    gates = ("f", "g", "o")
    state = state(h="output", c="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f = sigmoid(x.f + u.f)
        g = tanh(x.g + u.g)
        o = sigmoid(x.o + u.o)
        c = f * s.c + (1 - f) * g
        h = o * tanh(c)
        return h, self.next(h=h, c=c)


@dataclass(frozen=True)
class JANET(Cell):
    """LSTM with the forget gate alone (van der Westhuizen & Lasenby 2018).

    States: h (B, O). `beta` lets in a little more than is forgotten.
    """

    beta: float = 1.0
    gates = ("f", "g")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a = x.f + u.f
        f = sigmoid(a)
        g = tanh(x.g + u.g)
        h = f * s.h + (1 - sigmoid(a - self.beta)) * g
        return h, self.next(h=h)
