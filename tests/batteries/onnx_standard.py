"""RNN, GRU and LSTM as ONNX's operator pages have them, gate by gate and row by row in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray
# Names and defaults of alpha and beta as in the pages of the operators; None: it has none.
FUNCTIONS: dict[str, tuple[Callable[..., Array], float | None, float | None]] = {
    "Relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "Tanh": (lambda x, a, b: np.tanh(x), None, None),
    "Sigmoid": (lambda x, a, b: 1 / (1 + np.exp(-x)), None, None),
    "Affine": (lambda x, a, b: a * x + b, np.nan, np.nan),
    "LeakyRelu": (lambda x, a, b: np.where(x >= 0, x, a * x), 0.01, None),
    "ThresholdedRelu": (lambda x, a, b: np.where(x >= a, x, 0), 1.0, None),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), np.nan, np.nan),
    "HardSigmoid": (lambda x, a, b: np.minimum(np.maximum(a * x + b, 0), 1), 0.2, 0.5),
    "Elu": (lambda x, a, b: np.where(x >= 0, x, a * (np.exp(x) - 1)), 1.0, None),
    "Softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None),
    "Softplus": (lambda x, a, b: np.log(1 + np.exp(x)), None, None),
}
DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def activations(kind: str, count: int, attributes: Mapping[str, Any]) -> list[list[Callable[[Array], Array]]]:
    """For each direction f, g and h; each takes its numbers in turn."""
    alphas, betas = (list(attributes.get(f"activation_{n}", [])) for n in ("alpha", "beta"))
    found = []
    for name in attributes.get("activations", DEFAULTS[kind] * count):
        function, alpha, beta = FUNCTIONS[name]
        a = alpha if alpha is None or not alphas else alphas.pop(0)
        b = beta if beta is None or not betas else betas.pop(0)
        found.append(lambda x, function=function, a=a, b=b: function(clipped(x, attributes), a, b))
    each = len(DEFAULTS[kind])
    return [found[k : k + each] for k in range(0, len(found), each)]


def clipped(x: Array, attributes: Mapping[str, Any]) -> Array:
    """The input of an activation."""
    limit = attributes.get("clip")
    return x if limit is None else np.clip(x, -limit, limit)


def step(
    kind: str, w: Mapping[str, Array], state: list[Array], x: Array, fs: list[Any], attributes: Mapping[str, Any]
) -> list[Array]:
    """One row's next state: x (F,), H and C (H,)."""
    h = state[0]

    def given(gate: str) -> Array:
        return x @ w[f"W{gate}"].T + w[f"Wb{gate}"]

    def fed(gate: str, of: Array = h) -> Array:
        return of @ w[f"R{gate}"].T + w[f"Rb{gate}"]

    if kind == "RNN":
        return [fs[0](given("i") + fed("i"))]
    if kind == "GRU":
        f, g = fs
        z, r = f(given("z") + fed("z")), f(given("r") + fed("r"))
        after = attributes.get("linear_before_reset", 0)
        new = g(given("h") + (r * fed("h") if after else fed("h", r * h)))
        return [(1 - z) * new + z * h]
    f, g, shown = fs
    c = state[1]
    i = f(given("i") + fed("i") + w["Pi"] * c)
    forget = 1 - i if attributes.get("input_forget", 0) else f(given("f") + fed("f") + w["Pf"] * c)
    new = forget * c + i * g(given("c") + fed("c"))
    o = f(given("o") + fed("o") + w["Po"] * new)
    return [o * shown(new), new]


def weights(kind: str, k: int, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The blocks of direction k by the names of the operator's page."""
    gates = {"RNN": "i", "GRU": "zrh", "LSTM": "iofc"}[kind]
    hidden = inputs["R"].shape[2]
    B = inputs.get("B", np.zeros((k + 1, 2 * len(gates) * hidden)))[k]
    P = inputs.get("P", np.zeros((k + 1, 3 * hidden)))[k]
    found = dict(zip([f"Wb{g}" for g in gates] + [f"Rb{g}" for g in gates], np.split(B, 2 * len(gates)), strict=True))
    for name in "WR":
        found |= dict(zip([f"{name}{g}" for g in gates], np.split(inputs[name][k], len(gates)), strict=True))
    return found | dict(zip(("Pi", "Po", "Pf"), np.split(P, 3), strict=True))


def by_the_standard(kind: str, attributes: Mapping[str, Any], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Y, Y_h and Y_c in float64; past its length a row is zero and its state stands still."""
    inputs = {
        name: np.asarray(value, np.int64 if name == "sequence_lens" else np.float64) for name, value in inputs.items()
    }
    first = attributes.get("layout", 0) == 1
    x = inputs["X"].swapaxes(0, 1) if first else inputs["X"]
    count, hidden = inputs["R"].shape[0], inputs["R"].shape[2]
    steps, batch = x.shape[:2]
    names = ["initial_h", "initial_c"][: 1 + (kind == "LSTM")]
    zero = np.zeros((batch, count, hidden) if first else (count, batch, hidden))
    start = [inputs.get(n, zero).swapaxes(0, 1) if first else inputs.get(n, zero) for n in names]
    lengths = inputs.get("sequence_lens", np.full(batch, steps))
    Y = np.zeros((steps, count, batch, hidden))
    ends = [s.copy() for s in start]
    for k, fs in enumerate(activations(kind, count, attributes)):
        w = weights(kind, k, inputs)
        backwards = attributes.get("direction") == "reverse" or k == 1
        for row in range(batch):
            state = [s[k, row] for s in start]
            times = range(lengths[row])
            for t in reversed(times) if backwards else times:
                state = step(kind, w, state, x[t, row], fs, attributes)
                Y[t, k, row] = state[0]
            for end, value in zip(ends, state, strict=True):
                end[k, row] = value
    if first:
        Y, ends = Y.transpose(2, 0, 1, 3), [e.swapaxes(0, 1) for e in ends]
    return dict(zip(("Y", "Y_h", "Y_c"), (Y, *ends), strict=False))
