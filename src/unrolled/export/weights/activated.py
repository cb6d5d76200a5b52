"""LSTM, GRU and plain network with other activations, clipped sums and coupled gates, as ONNX and Keras allow them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unrolled.cell import (
    ACTIVATIONS,
    Cell,
    Vector,
    clamp,
    elu,
    greater,
    leaky_relu,
    relu,
    sigmoid,
    softplus,
    softsign,
    state,
    tanh,
    vector,
    where,
)
from unrolled.cells import GRU, LSTM, Elman, GRUResetBefore, PeepholeLSTM

# ONNX's activations (operators RNN, GRU, LSTM, set 22) of a value, alpha and beta, with the defaults of these two:
# None where it takes no such number, NaN where it takes one that has no default.
_NEEDED = float("nan")
FUNCTIONS: dict[str, tuple[Callable[[Any, float, float], Any], float | None, float | None]] = {
    "Relu": (lambda a, alpha, beta: relu(a), None, None),
    "Tanh": (lambda a, alpha, beta: tanh(a), None, None),
    "Sigmoid": (lambda a, alpha, beta: sigmoid(a), None, None),
    "Affine": (lambda a, alpha, beta: alpha * a + beta, _NEEDED, _NEEDED),
    "LeakyRelu": (lambda a, alpha, beta: leaky_relu(a, alpha), 0.01, None),
    "ThresholdedRelu": (lambda a, alpha, beta: where(greater(alpha, a), 0.0, a), 1.0, None),
    "ScaledTanh": (lambda a, alpha, beta: alpha * tanh(beta * a), _NEEDED, _NEEDED),
    "HardSigmoid": (lambda a, alpha, beta: clamp(alpha * a + beta, 0.0, 1.0), 0.2, 0.5),
    "Elu": (lambda a, alpha, beta: elu(a, alpha), 1.0, None),
    "Softsign": (lambda a, alpha, beta: softsign(a), None, None),
    "Softplus": (lambda a, alpha, beta: softplus(a), None, None),
}


@dataclass(frozen=True)
class Activation:
    """One of ONNX's activations with its numbers, or one of ours by its name in `unrolled.cell.ACTIVATIONS`."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, a: Any) -> Any:
        if self.name in ACTIVATIONS:
            return ACTIVATIONS[self.name](a)
        return FUNCTIONS[self.name][0](a, self.alpha, self.beta)

    @property
    def ours(self) -> str | None:
        """Its name in `unrolled.cell.ACTIVATIONS` where it is there."""
        name = self.name.lower()
        return name if name in ACTIVATIONS and (self.name in ACTIVATIONS or name in _PLAIN) else None


_PLAIN = ("relu", "tanh", "sigmoid", "softsign", "softplus")
SIGMOID, TANH = Activation("sigmoid"), Activation("tanh")


@dataclass(frozen=True)
class _Activated(Cell):
    """`clip` bounds what goes into an activation."""

    f: Activation = SIGMOID
    g: Activation = TANH
    h: Activation = TANH
    clip: float | None = None

    def clipped(self, a: Any) -> Any:
        return a if self.clip is None else clamp(a, -self.clip, self.clip)


@dataclass(frozen=True)
class ActivatedRNN(_Activated):
    """h_t = f(clip(W x_t + U h_{t-1} + b))."""

    gates = ("h",)
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = self.f(self.clipped(x.h + u.h))
        return h, self.next(h=h)


@dataclass(frozen=True)
class ActivatedGRU(_Activated):
    """A GRU with f for its gates and g for the new value; `reset_after` says what the reset gate multiplies."""

    reset_after: bool = True
    gates = ("r", "z", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        r = self.f(self.clipped(x.r + u.r))
        z = self.f(self.clipped(x.z + u.z))
        kept = r * u.n if self.reset_after else u("n", r * s.h)
        n = self.g(self.clipped(x.n + kept))
        h = (1 - z) * n + z * s.h
        return h, self.next(h=h)


@dataclass(frozen=True)
class ActivatedLSTM(_Activated):
    """An LSTM with f for its gates, g for what it takes in and h for what it shows.

    `coupled`: the forget gate is 1 - i. `peepholes`: the gates see the cell state, unit by unit.
    """

    coupled: bool = False
    peepholes: bool = False
    state = state(h="output", c="hidden")

    def __post_init__(self) -> None:
        gates = ("i", "g", "o") if self.coupled else ("i", "f", "g", "o")
        peeping = [gate for gate in gates if gate != "g"] if self.peepholes else []
        vectors: Mapping[str, Vector] = {f"peep_{gate}": vector() for gate in peeping}
        for name, value in {"gates": gates, "vectors": vectors}.items():
            object.__setattr__(self, name, value)

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        def gate(name: str, seen: Any) -> Any:
            a = getattr(x, name) + getattr(u, name)
            return self.f(self.clipped(a + getattr(p, f"peep_{name}") * seen if self.peepholes else a))

        i = gate("i", s.c)
        f = 1 - i if self.coupled else gate("f", s.c)
        g = self.g(self.clipped(x.g + u.g))
        c = f * s.c + i * g
        o = gate("o", c)
        h = o * self.h(self.clipped(c))
        return h, self.next(h=h, c=c)


def rnn(f: Activation, *, clip: float | None = None) -> Cell:
    """A plain network; the library's own cell where that is what it is."""
    return Elman(f.ours) if f.ours and clip is None else ActivatedRNN(f, clip=clip)


def gru(f: Activation, g: Activation, *, clip: float | None = None, reset_after: bool = True) -> Cell:
    """A GRU; the library's own cell where that is what it is."""
    if (f.ours, g.ours, clip) == ("sigmoid", "tanh", None):
        return GRU() if reset_after else GRUResetBefore()
    return ActivatedGRU(f, g, clip=clip, reset_after=reset_after)


def lstm(
    f: Activation,
    g: Activation,
    h: Activation,
    *,
    clip: float | None = None,
    coupled: bool = False,
    peepholes: bool = False,
) -> Cell:
    """An LSTM; the library's own cell where that is what it is."""
    if (f.ours, g.ours, h.ours, clip, coupled) == ("sigmoid", "tanh", "tanh", None, False):
        return PeepholeLSTM() if peepholes else LSTM()
    return ActivatedLSTM(f, g, h, clip, coupled, peepholes)
