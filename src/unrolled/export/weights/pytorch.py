"""State dicts of `torch.nn.RNN`, `LSTM` and `GRU`, and of their cells, into `Recurrent` and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unrolled.cell import Program, trace
from unrolled.cell.layouts import LAYOUTS
from unrolled.cells import GRU, Elman
from unrolled.data.problems import printable
from unrolled.errors import ArgumentError, DataError
from unrolled.export.weights.stacked import Stacked, as_tensor, layer_kind, lstm_program, recurrent, shaped, stacked
from unrolled.layers import Recurrent

_NAME = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<role>(?:weight|bias)_(?:ih|hh|hr))(?:_l(?P<layer>\d+)(?P<reverse>_reverse)?)?"
)
_KINDS = {1: "RNN", 3: "GRU", 4: "LSTM"}
_Key = tuple[int, bool, str]


def to_torch(layer: Recurrent) -> dict[str, Tensor]:
    """The state dict of torch.nn.LSTM, GRU or RNN for a layer: weight_ih_l0 (G*H, F), weight_hh_l0, bias_ih_l0, ...

    `torch.nn.LSTM(F, H, layers, bidirectional=..., batch_first=True).load_state_dict(to_torch(layer))` computes the
    same; the second bias is zero where ours is one. Raises ArgumentError for a layer that torch does not have.
    """
    kind = layer_kind(layer, "torch")
    if kind.name not in _KINDS.values() or kind.activation not in ("tanh", "relu"):
        raise ArgumentError(
            f"torch has no layer with the equations of {layer.program.name}, but LSTM, GRU that resets after the "
            "product, and RNN with tanh or relu; export the layer to ONNX instead."
        )
    if len({(d.sizes.hidden, d.sizes.output) for one in layer.stack for d in one.directions}) > 1:
        raise ArgumentError(
            f"the layers are {', '.join(map(str, layer.hidden_sizes))} units wide, but those of one torch module are "
            "equally wide; move each layer into a module of its own."
        )
    found: dict[str, Tensor] = {}
    for i, directions in enumerate(stacked(layer, LAYOUTS["torch", kind.name], "torch")):
        for stack, reverse in zip(directions, ("", "_reverse"), strict=False):
            roles = {"weight_ih": stack.W, "weight_hh": stack.U, "bias_ih": stack.b, "bias_hh": stack.c,
                     "weight_hr": stack.projection}  # fmt: skip
            found |= {f"{role}_l{i}{reverse}": v.clone() for role, v in roles.items() if v is not None}
    return found


def from_torch(
    source: Mapping[str, Any] | nn.Module | str | Path, *, prefix: str | None = None, nonlinearity: str = "tanh"
) -> Recurrent:
    """A layer with the weights of a torch.nn.LSTM, GRU or RNN, which are told apart by their shapes.

    `source` is a state dict of tensors or arrays, a module, or a safetensors file of one. `prefix` chooses one of
    several recurrent modules, such as "encoder.rnn". `nonlinearity` is that of a plain RNN, which shapes do not tell.
    Raises ArgumentError naming the parameter that does not fit, DataError for a file that cannot be read.
    """
    if isinstance(source, nn.RNNBase) and source.mode == "RNN_RELU":
        nonlinearity = "relu"
    named = source.state_dict() if isinstance(source, nn.Module) else source
    given = _chosen(named if isinstance(named, Mapping) else read_safetensors(named), prefix)
    layers, directions = 1 + max(key[0] for key in given), 1 + max(key[1] for key in given)
    kind = _kind(given)
    parts, width = [], None
    for layer in range(layers):
        parts.append([_stack(given, layer, bool(reverse), kind, width) for reverse in range(directions)])
        width = directions * parts[-1][0].U.shape[1]
    program = _program(kind, parts[0][0], nonlinearity)
    return recurrent(program, LAYOUTS["torch", kind], parts)


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; DataError where it is none."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError("there is no such file; give a safetensors file with a state dict.", path) from None
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"this is not a safetensors file ({printable(error)}); save the weights with safetensors.torch.save_file.",
            path,
        ) from None


def _program(kind: str, first: Stacked, nonlinearity: str) -> Program:
    if kind == "LSTM":
        program = lstm_program(first.projection is not None)
    else:
        program = trace(GRU() if kind == "GRU" else Elman(nonlinearity))
    return replace(program, bias=first.b is not None)


def _chosen(state: Mapping[str, Any], prefix: str | None) -> dict[_Key, tuple[str, Any]]:
    """The parameters of one module by layer, reverse and role, with the names that they had."""
    found: dict[str, dict[_Key, tuple[str, Any]]] = {}
    for name, value in state.items():
        match = _NAME.fullmatch(name)
        if match:
            key = (int(match["layer"] or 0), bool(match["reverse"]), match["role"])
            found.setdefault(match["prefix"].removesuffix("."), {})[key] = (name, value)
    there = ", ".join(repr(name) for name in found)
    if not found:
        raise ArgumentError(
            "the state dict has no recurrent weights; their names end as in weight_ih_l0 and weight_hh_l0."
        )
    if prefix is None and len(found) > 1:
        raise ArgumentError(f"the state dict has several recurrent modules; choose one with prefix= of {there}.")
    if prefix is not None and prefix.removesuffix(".") not in found:
        raise ArgumentError(f"the state dict has no recurrent module {prefix!r}, but {there}.")
    return found[next(iter(found)) if prefix is None else prefix.removesuffix(".")]


def _taken(given: Mapping[_Key, tuple[str, Any]], key: _Key) -> tuple[str, Tensor]:
    """A matrix with its name; ArgumentError where it is missing or none."""
    if key not in given:
        layer, reverse, role = key
        raise ArgumentError(f"the state dict has no {role}_l{layer}{'_reverse' if reverse else ''}; give all layers.")
    name, value = given[key]
    matrix = as_tensor(name, value)
    if matrix.dim() != 2:
        raise ArgumentError(f"{name} has the shape {tuple(matrix.shape)}, but it is a matrix.")
    return name, matrix


def _kind(given: Mapping[_Key, tuple[str, Any]]) -> str:
    name, recurrent_matrix = _taken(given, (0, False, "weight_hh"))
    if (0, False, "weight_hr") in given:
        return "LSTM"
    rows, columns = recurrent_matrix.shape
    if not columns or rows % columns or rows // columns not in _KINDS:
        raise ArgumentError(
            f"{name} has the shape {(rows, columns)}, but an RNN, GRU or LSTM has 1, 3 or 4 rows a column."
        )
    return _KINDS[rows // columns]


def _stack(given: Mapping[_Key, tuple[str, Any]], layer: int, reverse: bool, kind: str, width: int | None) -> Stacked:
    """One layer and direction, its shapes checked; `width` is that of the layer below."""
    (ih, W), (hh, U) = (_taken(given, (layer, reverse, role)) for role in ("weight_ih", "weight_hh"))
    rows = len(W)
    gates = len(LAYOUTS["torch", kind].gates)
    if not rows or rows % gates:
        raise ArgumentError(f"{ih} has {rows} rows, but the weights of {kind} have a multiple of {gates}.")
    hidden, output = rows // gates, U.shape[1]
    W = shaped(ih, W, (rows, W.shape[1] if width is None else width))
    projection = None
    if (layer, reverse, "weight_hr") in given:
        projection = shaped(*given[layer, reverse, "weight_hr"], (output, hidden))
    U = shaped(hh, U, (rows, output if projection is not None else hidden))
    b, c = (
        shaped(*given[layer, reverse, role], (rows,)) if (layer, reverse, role) in given else None
        for role in ("bias_ih", "bias_hh")
    )
    if (b is None) != (c is None) or (b is None) != ((0, False, "bias_ih") not in given):
        raise ArgumentError(f"the state dict has some biases beside {ih} and not others; give all of them or none.")
    return Stacked(W, U, b, c, projection=projection)
