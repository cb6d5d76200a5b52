"""Recurrent networks with layer normalisation inside the step (Ba et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell import Cell, layer_norm, sigmoid, state, tanh, vector


def _normalised(gates: tuple[str, ...], source: Any, together: bool) -> dict[str, Any]:
    values = [getattr(source, gate) for gate in gates]
    return dict(zip(gates, layer_norm(*values) if together else map(layer_norm, values), strict=True))


@dataclass(frozen=True)
class LayerNormLSTM(Cell):
    """LSTM with a_k = gain_x_k LN(W_k x_t) + gain_u_k LN(U_k h_{t-1}) + b_k (Ba et al. 2016).

    States: h (B, O), c (B, H). The output shows LN of c. LN runs over the units of all gates
    `together`, as in the paper, or of each gate alone.
    """

    together: bool = True
    gates = ("i", "f", "g", "o")
    state = state(h="output", c="hidden")
    vectors = (
        {f"gain_x_{k}": vector(1.0) for k in gates}
        | {f"gain_u_{k}": vector(1.0) for k in gates}
        | {"b_i": vector(), "b_f": vector(1.0), "b_g": vector(), "b_o": vector()}
        | {"gain_c": vector(1.0), "b_c": vector()}
    )
    bias = False

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        left, right = _normalised(self.gates, x, self.together), _normalised(self.gates, u, self.together)
        i = sigmoid(p.gain_x_i * left["i"] + p.gain_u_i * right["i"] + p.b_i)
        f = sigmoid(p.gain_x_f * left["f"] + p.gain_u_f * right["f"] + p.b_f)
        g = tanh(p.gain_x_g * left["g"] + p.gain_u_g * right["g"] + p.b_g)
        o = sigmoid(p.gain_x_o * left["o"] + p.gain_u_o * right["o"] + p.b_o)
        c = f * s.c + i * g
        h = o * tanh(p.gain_c * layer_norm(c) + p.b_c)
        return h, self.next(h=h, c=c)


@dataclass(frozen=True)
class LayerNormGRU(Cell):
    """GRU (reset after the product) with LN of W_k x_t and of U_k h_{t-1}, each with its gain (Ba et al. 2016).

    States: h (B, O). LN runs over the units of all gates `together` or of each gate alone.
    """

    together: bool = False
    gates = ("r", "z", "n")
    state = state(h="output")
    vectors = (
        {f"gain_x_{k}": vector(1.0) for k in gates}
        | {f"gain_u_{k}": vector(1.0) for k in gates}
        | {"b_r": vector(), "b_z": vector(), "b_n": vector(), "c_n": vector()}
    )
    bias = False

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        left, right = _normalised(self.gates, x, self.together), _normalised(self.gates, u, self.together)
        r = sigmoid(p.gain_x_r * left["r"] + p.gain_u_r * right["r"] + p.b_r)
        z = sigmoid(p.gain_x_z * left["z"] + p.gain_u_z * right["z"] + p.b_z)
        n = tanh(p.gain_x_n * left["n"] + p.b_n + r * (p.gain_u_n * right["n"] + p.c_n))
        h = (1 - z) * n + z * s.h
        return h, self.next(h=h)
