"""Weights of Keras 3's SimpleRNN, LSTM and GRU into `Recurrent` and back, as the arrays of `get_weights()`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unrolled.cell import Cell, trace
from unrolled.cell.layouts import LAYOUTS
from unrolled.errors import ArgumentError
from unrolled.export.weights import activated
from unrolled.export.weights.activated import Activation
from unrolled.export.weights.stacked import Stacked, arrays, as_tensor, layer_kind, recurrent, shaped, stacked
from unrolled.layers import Recurrent

_KINDS = {1: "RNN", 3: "GRU", 4: "LSTM"}
# Keras's names where its function is one of ours or of ONNX's; its leaky_relu has another slope than torch's.
_ACTIVATIONS = {
    name: Activation(name) for name in ("tanh", "sigmoid", "relu", "elu", "softsign", "softplus", "silu")
} | {
    "linear": Activation("identity"),
    "swish": Activation("silu"),
    "hard_sigmoid": Activation("hard_sigmoid"),
    "leaky_relu": Activation("LeakyRelu", 0.2),
}


def to_keras(layer: Recurrent) -> list[np.ndarray]:
    """The arrays that `set_weights` of a keras LSTM, GRU or SimpleRNN takes, or of a model of such layers alone.

    For each layer kernel (F, G*H), recurrent kernel (H, G*H) and bias, of a Bidirectional the forward direction first.
    A GRU that resets after the product has the bias (2, 3 H); the other is keras's `reset_after=False`, bias (3 H,).
    Raises ArgumentError for a cell or a layer that Keras does not have.
    """
    kind = layer_kind(layer, "Keras")
    if kind.projection or kind.activation not in ("tanh", "sigmoid", "relu", "softplus", "softsign"):
        raise ArgumentError(
            f"Keras has no layer with the equations of {layer.program.name}, but LSTM, GRU and SimpleRNN; "
            "export the layer to ONNX instead."
        )
    found: list[np.ndarray] = []
    for directions in stacked(layer, LAYOUTS["keras", kind.name], "Keras"):
        for stack in directions:
            found += [arrays(stack.W.T), arrays(stack.U.T)]
            if stack.b is not None and stack.c is not None:
                b, c = arrays(stack.b), arrays(stack.c)
                found.append(np.stack([b, c]) if LAYOUTS["keras", kind.name].biases == "two" else b)
    return found


def from_keras(
    weights: Sequence[Any],
    *,
    bidirectional: bool = False,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    reset_after: bool = True,
) -> Recurrent:
    """A layer with the weights that `get_weights()` of a keras LSTM, GRU or SimpleRNN gives, or of a stack of them.

    The arrays (also nested, a list for each layer) are told apart by their shapes; `bidirectional` says that each layer
    has two directions. `reset_after` matters for a GRU without biases alone: with them the shape tells. The activations
    are those that the layers were made with. Raises ArgumentError naming the array that does not fit.
    """
    flat = [value for part in weights for value in (part if isinstance(part, (list, tuple)) else (part,))]
    directions = 2 if bidirectional else 1
    groups = _groups(flat, directions)
    count = _gates(groups[0])
    kind = _KINDS[count]
    biased = len(groups[0]) == 3
    if kind == "GRU" and (np.ndim(groups[0][2]) == 1 if biased else not reset_after):
        kind = "GRUResetBefore"
    parts: list[list[Stacked]] = []
    width = None
    for start in range(0, len(groups), directions):
        parts.append([_stack(groups[k], k, count, width) for k in range(start, start + directions)])
        width = directions * parts[-1][0].U.shape[1]
    program = trace(_cell(kind, _activation(activation), _activation(recurrent_activation)))
    return recurrent(replace(program, bias=biased), LAYOUTS["keras", kind], parts)


def _activation(name: str) -> Activation:
    if name not in _ACTIVATIONS:
        raise ArgumentError(f"the activation {name!r} is none of {', '.join(sorted(_ACTIVATIONS))}.")
    return _ACTIVATIONS[name]


def _cell(kind: str, g: Activation, f: Activation) -> Cell:
    if kind == "RNN":
        return activated.rnn(g)
    if kind == "LSTM":
        return activated.lstm(f, g, g)
    return activated.gru(f, g, reset_after=kind == "GRU")


def _groups(flat: Sequence[Any], directions: int) -> list[list[Any]]:
    """Kernel, recurrent kernel and, where there are any, bias of each layer and direction."""
    size = 3 if _biased(flat) else 2
    if not flat or len(flat) % (size * directions):
        kinds = "a kernel, a recurrent kernel and a bias" if size == 3 else "a kernel and a recurrent kernel"
        raise ArgumentError(
            f"{len(flat)} arrays were given, but every {'direction of every ' if directions == 2 else ''}layer needs "
            f"{kinds}; give what get_weights() returns and say whether it is bidirectional."
        )
    return [list(flat[k : k + size]) for k in range(0, len(flat), size)]


def _biased(flat: Sequence[Any]) -> bool:
    """Whether every third array is a bias: a GRU's (2, 3 H) may look like the kernel of a next layer."""
    if len(flat) < 3 or np.ndim(flat[2]) == 1 or len(flat) % 2:
        return len(flat) > 2
    pairs = zip(flat[1::3], flat[2::3], strict=False)
    return len(flat) % 3 == 0 and all(np.shape(bias) == (2, *np.shape(recurrent)[1:]) for recurrent, bias in pairs)


def _gates(group: Sequence[Any]) -> int:
    """Gates of the first layer, which are the columns of its recurrent kernel by its rows."""
    shape = tuple(as_tensor("recurrent_kernel", group[1]).shape)
    if len(shape) != 2 or not shape[0] or shape[1] % shape[0] or shape[1] // shape[0] not in _KINDS:
        raise ArgumentError(
            f"recurrent_kernel of the first layer has the shape {shape}, but SimpleRNN, GRU and LSTM have (H, H), "
            "(H, 3 H) and (H, 4 H)."
        )
    return shape[1] // shape[0]


def _stack(group: Sequence[Any], number: int, gates: int, width: int | None) -> Stacked:
    """One layer and direction, its shapes checked; `width` is that of the layer below."""
    names = [f"{name} {number}" for name in ("kernel", "recurrent_kernel", "bias")]
    kernel, below = as_tensor(names[0], group[0]), as_tensor(names[1], group[1])
    if kernel.dim() != 2 or not kernel.shape[1] or kernel.shape[1] % gates:
        raise ArgumentError(
            f"{names[0]} has the shape {tuple(kernel.shape)}, but needs (F, {gates} H) for {gates} gates of H units."
        )
    columns = kernel.shape[1]
    kernel = shaped(names[0], kernel, (kernel.shape[0] if width is None else width, columns))
    below = shaped(names[1], below, (columns // gates, columns))
    b = c = None
    if len(group) == 3:
        bias = as_tensor(names[2], group[2])
        two = gates == 3 and bias.dim() == 2
        b, c = shaped(names[2], bias, (2, columns)) if two else (shaped(names[2], bias, (columns,)), None)
    return Stacked(kernel.T, below.T, b, c)
