"""Parameters of Flax's SimpleCell, LSTMCell and GRUCell (linen and nnx) into `Recurrent` and back, as nested dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import ACTIVATIONS, Cell, trace
from unrolled.cell.layouts import LAYOUTS, Layout
from unrolled.errors import ArgumentError
from unrolled.export.weights import activated
from unrolled.export.weights.activated import Activation
from unrolled.export.weights.stacked import Stacked, arrays, as_tensor, layer_kind, recurrent, shaped, stacked
from unrolled.layers import Recurrent

DIRECTIONS = ("forward_rnn", "backward_rnn")
_APIS = {"linen": "flax", "nnx": "nnx"}
# The names of the parts that make x.k and u.k, by the keys that tell a cell; nnx also has all gates in one part.
_SPLIT: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "ii": ("LSTM", {g: f"i{g}" for g in "ifgo"}, {g: f"h{g}" for g in "ifgo"}),
    "ir": ("GRU", {g: f"i{g}" for g in "rzn"}, {g: f"h{g}" for g in "rzn"}),
    "i": ("RNN", {"h": "i"}, {"h": "h"}),
}
_DENSE = {1: "RNN", 3: "GRU", 4: "LSTM"}


def to_flax(layer: Recurrent, *, api: str = "linen") -> list[dict[str, Any]]:
    """For each layer what stands under "params" of flax.linen.RNN, or of Bidirectional of two of them: arrays in dicts.

    `api` is "linen" or "nnx" (the pure dict of nnx.RNN). Kernels are (F, H) for each gate of LSTMCell, GRUCell and
    SimpleCell; nnx.GRUCell has (F, 3 H) and no recurrent bias. Raises ArgumentError for a cell, a layer or a bias that
    Flax does not have.
    """
    if api not in _APIS:
        raise ArgumentError(f"api is {api!r}, but Flax has 'linen' and 'nnx'.")
    kind, library = layer_kind(layer, "Flax"), _APIS[api]
    if kind.name not in _DENSE.values() or kind.projection:
        raise ArgumentError(
            f"Flax has no cell with the equations of {layer.program.name}, but LSTMCell, GRUCell (reset after the "
            "product) and SimpleCell; export the layer to ONNX instead."
        )
    layout, trees = LAYOUTS[library, kind.name], []
    dense = api == "nnx" and kind.name != "LSTM"
    for directions in stacked(layer, layout, f"Flax's {api}"):
        cells = [_dense(s) if dense else _split(kind.name, s, layout, api) for s in directions]
        wrapped = [{"cell": cell} for cell in cells]
        trees.append(wrapped[0] if len(wrapped) == 1 else dict(zip(DIRECTIONS, wrapped, strict=True)))
    return trees


def from_flax(
    params: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    activation: str = "tanh",
    gate_activation: str = "sigmoid",
) -> Recurrent:
    """A layer with the parameters of a Flax LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell, of linen or nnx.

    `params` is a nested dict of arrays, of a cell or of the RNN or Bidirectional around it, or a list with one for each
    layer. The activations are those that the cells were made with. Raises ArgumentError naming what does not fit.
    """
    trees = [params] if isinstance(params, Mapping) else list(params)
    parts: list[list[Stacked]] = []
    kinds, width = set(), None
    for i, tree in enumerate(trees):
        read = [_read(cell, f"layer {i}{where}", width) for where, cell in _cells(tree)]
        kinds |= {(kind, layout, stack.b is not None) for kind, layout, stack in read}
        parts.append([stack for _, _, stack in read])
        width = sum(stack.U.shape[1] for stack in parts[-1])
    if len(kinds) != 1 or len({len(layer) for layer in parts}) != 1:
        raise ArgumentError("the layers must all have the same cell, biases and directions; move them one by one.")
    ((kind, layout, biased),) = kinds
    for name in (activation, gate_activation):
        if name not in ACTIVATIONS:
            raise ArgumentError(f"the activation {name!r} is none of {', '.join(sorted(ACTIVATIONS))}.")
    program = trace(_cell(kind, Activation(activation), Activation(gate_activation)))
    return recurrent(replace(program, bias=biased), layout, parts)


def _cell(kind: str, g: Activation, f: Activation) -> Cell:
    if kind == "RNN":
        return activated.rnn(g)
    return activated.gru(f, g) if kind == "GRU" else activated.lstm(f, g, g)


def _split(kind: str, stack: Stacked, layout: Layout, api: str) -> dict[str, Any]:
    """A part with a kernel, and with a bias where the layout has one, for each gate and operand."""
    _, inputs, recurrents = next(entry for entry in _SPLIT.values() if entry[0] == kind)
    hidden = stack.U.shape[1]
    parts: dict[str, Any] = {}
    for names, matrix, bias in ((inputs, stack.W, stack.b), (recurrents, stack.U, stack.c)):
        biases = torch.split(bias, hidden) if bias is not None else [None] * len(layout.gates)
        for gate, rows, b in zip(layout.gates, torch.split(matrix, hidden), biases, strict=True):
            name = "if_" if api == "nnx" and names[gate] == "if" else names[gate]
            parts[name] = {"kernel": arrays(rows.T)}
            if b is not None and _has_bias(layout, gate, recurrent=matrix is stack.U):
                parts[name]["bias"] = arrays(b)
    return parts


def _has_bias(layout: Layout, gate: str, *, recurrent: bool) -> bool:
    if recurrent:
        return layout.biases == "recurrent" or (layout.biases == "new" and gate == "n")
    return layout.biases != "recurrent"


def _dense(stack: Stacked) -> dict[str, Any]:
    """Nnx's form of GRUCell and SimpleCell: all gates in one kernel."""
    bias = {} if stack.b is None else {"bias": arrays(stack.b)}
    return {"dense_i": {"kernel": arrays(stack.W.T), **bias}, "dense_h": {"kernel": arrays(stack.U.T)}}


def _cells(tree: Any) -> list[tuple[str, Any]]:
    """The parameters of each direction's cell, taken out of what is around them."""
    if not isinstance(tree, Mapping):
        return [("", tree)]
    if len(tree) == 1 and next(iter(tree)) in ("params", "cell"):
        return _cells(next(iter(tree.values())))
    if all(name in tree for name in DIRECTIONS):
        return [(f", {name}", cell) for name in DIRECTIONS for _, cell in _cells(tree[name])]
    return [("", tree)]


def _read(cell: Any, where: str, width: int | None) -> tuple[str, Layout, Stacked]:
    """What the parameters of a cell are; `width` is that of the layer below."""
    if isinstance(cell, Mapping) and "dense_i" in cell and "dense_h" in cell:
        return _read_dense(cell, where, width)
    found = next((_SPLIT[key] for key in _SPLIT if isinstance(cell, Mapping) and key in cell), None)
    if found is None:
        names = ", ".join(map(str, cell)) if isinstance(cell, Mapping) else type(cell).__name__
        raise ArgumentError(f"{where} has {names}, which are not the parameters of an LSTMCell, GRUCell or SimpleCell.")
    kind, inputs, recurrents = found
    layout = LAYOUTS["flax", kind]
    kernels = [_leaf(cell, inputs[g], "kernel", where) for g in layout.gates]
    hidden = _columns(kernels[0], f"{where}: {inputs[layout.gates[0]]}.kernel")
    rows = kernels[0].shape[0] if width is None else width
    W = [shaped(f"{where}: {inputs[g]}.kernel", k, (rows, hidden)) for g, k in zip(layout.gates, kernels, strict=True)]
    U = [_leaf(cell, recurrents[g], "kernel", where, (hidden, hidden)) for g in layout.gates]

    def biases(names: Mapping[str, str]) -> Tensor | None:
        given = [_leaf(cell, names[g], "bias", where, (hidden,), optional=True) for g in layout.gates]
        there = [b for b in given if b is not None]
        return torch.cat([there[0].new_zeros(hidden) if b is None else b for b in given]) if there else None

    return kind, layout, Stacked(torch.cat(W, 1).T, torch.cat(U, 1).T, *_both(biases(inputs), biases(recurrents)))


def _read_dense(cell: Mapping[str, Any], where: str, width: int | None) -> tuple[str, Layout, Stacked]:
    U = _leaf(cell, "dense_h", "kernel", where)
    columns = _columns(U, f"{where}: dense_h.kernel")
    hidden = U.shape[0]
    if not hidden or columns % hidden or columns // hidden not in _DENSE:
        raise ArgumentError(f"{where}: dense_h.kernel has the shape {tuple(U.shape)}, but needs (H, H), 3 H or 4 H.")
    kernel = _leaf(cell, "dense_i", "kernel", where)
    _columns(kernel, f"{where}: dense_i.kernel")
    W = shaped(f"{where}: dense_i.kernel", kernel, (kernel.shape[0] if width is None else width, columns))
    b, c = (_leaf(cell, name, "bias", where, (columns,), optional=True) for name in ("dense_i", "dense_h"))
    kind = _DENSE[columns // hidden]
    return kind, LAYOUTS["nnx", kind], Stacked(W.T, U.T, *_both(b, c))


def _both(b: Tensor | None, c: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Two biases or none: the one that a library leaves out is 0."""
    if b is None and c is not None:
        return torch.zeros_like(c), c
    return b, torch.zeros_like(b) if b is not None and c is None else c


def _columns(kernel: Tensor, name: str) -> int:
    if kernel.dim() != 2 or not kernel.shape[1]:
        raise ArgumentError(f"{name} has the shape {tuple(kernel.shape)}, but it is a matrix (inputs, units).")
    return kernel.shape[1]


def _leaf(
    cell: Mapping[str, Any],
    part: str,
    name: str,
    where: str,
    shape: Sequence[int] | None = None,
    *,
    optional: bool = False,
) -> Any:
    """The array `part.name` of a cell; nnx calls the part "if" `if_`."""
    parts = cell.get(part, cell.get(f"{part}_"))
    if not isinstance(parts, Mapping) or name not in parts:
        if optional and isinstance(parts, Mapping):
            return None
        raise ArgumentError(f"{where} has no {part}.{name}; give the whole parameters of the cell.")
    full = f"{where}: {part}.{name}"
    return as_tensor(full, parts[name]) if shape is None else shaped(full, parts[name], shape)
