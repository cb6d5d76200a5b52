"""The recurrent nodes of an ONNX model into one `Recurrent`, and the weights of a layer as such nodes have them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import ArgumentError, DataError
from unrolled.export.to_onnx.graph import library
from unrolled.export.to_onnx.native import native
from unrolled.export.to_onnx.recurrent import evaluated, node_weights
from unrolled.export.weights.onnx_node import DIRECTIONS, INPUTS, Node, node_attributes, read_node
from unrolled.export.weights.stacked import Stacked, check_plain, recurrent
from unrolled.layers import Recurrent

KINDS = ("RNN", "GRU", "LSTM")
# What may stand between two layers of one stack: nodes that move numbers and change none.
_MOVES = {"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


def to_onnx_weights(layer: Recurrent) -> list[dict[str, Any]]:
    """For each layer the arrays W (D, G*H, F), R (D, G*H, H), B (D, 2*G*H), of peepholes P (D, 3*H), of an ONNX node.

    Beside them "op_type" and "attributes", as `onnx.helper.make_node(op_type, inputs, outputs, **attributes)` takes
    them. Raises ArgumentError for a cell that is none of ONNX's nodes, which `ur.export.onnx` writes as a Scan.
    """
    check_plain(layer, "ONNX")
    found = native(evaluated(layer.program))
    if found is None:
        raise ArgumentError(f"no node of ONNX has the equations of {layer.program.name}; write it with export.onnx.")
    nodes = []
    for one in layer.stack:
        count, hidden = len(one.directions), one.forwards.sizes.hidden
        functions = {k: v * count if isinstance(v, list) else v for k, v in found.attributes.items()}
        way = "forward" if count == 1 else "bidirectional"
        node: dict[str, Any] = {
            "op_type": found.kind,
            "attributes": {"hidden_size": hidden, "direction": way, **functions},
        }
        for name, parts in zip(
            "WRBP", zip(*(node_weights(d, found) for d in one.directions), strict=True), strict=True
        ):
            if parts[0].size:
                node[name] = np.stack(parts)
        nodes.append(node)
    return nodes


def from_onnx(source: Any, *, nodes: Sequence[str] | None = None) -> Recurrent:
    """A layer with the weights of the RNN, GRU or LSTM nodes of an ONNX model, one for each node of the stack.

    `source` is a path or an `onnx.ModelProto`. `nodes` names those that are wanted where the model has several stacks.
    Raises ArgumentError for nodes that are no stack or that a `Recurrent` cannot hold, DataError for a file that is no
    ONNX model, EngineError where onnx is not installed.
    """
    graph = (_load(source) if isinstance(source, (str, Path)) else source).graph
    constants = _Constants(graph)
    chosen = _chosen(graph, nodes)
    read = [_read(node, constants) for node in chosen]
    first, given = read[0]
    programs = {n.program(k, g) for n, g in read for k in range(len(DIRECTIONS[n.direction]))}
    if len(programs) > 1 or len({n.direction for n, _ in read}) > 1:
        raise ArgumentError(
            f"the nodes {', '.join(map(_name, chosen))} compute differently (activations, biases, peepholes or "
            "directions), but a Recurrent has one cell for all; choose some with nodes= or use run_onnx_node."
        )
    if first.direction == "reverse":
        raise ArgumentError(
            f"{_name(chosen[0])} reads from the end alone, but a Recurrent reads forwards or both ways; "
            "run the node with run_onnx_node."
        )
    parts = [n.weights(g) for n, g in read]
    _check_widths(chosen, parts)
    return recurrent(first.program(0, given), first.layout, parts)


def _load(path: str | Path) -> Any:
    onnx, message = library(), library("google.protobuf.message")
    try:
        return onnx.load(str(path))
    except FileNotFoundError:
        raise DataError("there is no such file; give an ONNX model.", path) from None
    except (message.DecodeError, OSError, onnx.checker.ValidationError) as error:
        raise DataError(f"this is not an ONNX model ({error}).", path) from None


class _Constants:
    """The values of a graph that do not depend on its inputs."""

    def __init__(self, graph: Any) -> None:
        self._onnx = library()
        self._known = {tensor.name: self._onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._made = {name: node for node in graph.node for name in node.output if name}

    def value(self, name: str) -> np.ndarray | None:
        """The array of this name, computed where nodes make it of constants alone; None where they do not."""
        if name not in self._known and name in self._made:
            node = self._made[name]
            needed = {given: self.value(given) for given in node.input if given}
            if all(value is not None for value in needed.values()):
                self._known |= dict(zip(node.output, self._run(node, needed), strict=False))
        return self._known.get(name)

    def _run(self, node: Any, given: dict[str, Any]) -> list[np.ndarray]:
        from onnx.reference import ReferenceEvaluator

        helper = self._onnx.helper
        results = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "constant", [helper.make_empty_tensor_value_info(n) for n in given], results)
        found: Any = ReferenceEvaluator(helper.make_model(graph)).run(None, given)
        return list(found)


def _chosen(graph: Any, wanted: Sequence[str] | None) -> list[Any]:
    """The nodes of a stack, first to last."""
    there = {_name(node): node for node in graph.node if node.op_type in KINDS}
    names = ", ".join(there) or "none"
    if wanted is not None:
        missing = [name for name in wanted if name not in there]
        if missing or not wanted:
            raise ArgumentError(f"the model has no recurrent node {(missing or [''])[0]!r}, but {names}.")
        return [there[name] for name in wanted]
    if not there:
        raise ArgumentError("the model has no RNN, GRU or LSTM node; a Scan or a Loop holds a program of its own.")
    made = {name: node for node in graph.node for name in node.output if name}
    stack = list(there.values())
    for below, node in pairwise(stack):
        if _source(node, made) is not below:
            raise ArgumentError(f"the recurrent nodes {names} are not one stack; choose with nodes=[...] of these.")
    return stack


def _source(node: Any, made: dict[str, Any]) -> Any:
    """The node that computes the input of a layer, past those that only move numbers."""
    found = made.get(node.input[0])
    while found is not None and found.op_type in _MOVES:
        found = made.get(found.input[0])
    return found


def _name(node: Any) -> str:
    return str(node.name or next(name for name in node.output if name))


def _read(node: Any, constants: _Constants) -> tuple[Node, dict[str, Any]]:
    """A node and its weights by the names of the operator's inputs; ArgumentError where they are no constants."""
    given = {}
    for name, source in zip(INPUTS, node.input, strict=False):
        if not source or name in ("X", "sequence_lens"):
            continue
        value = constants.value(source)
        if name in ("W", "R", "B", "P"):
            if value is None:
                raise ArgumentError(f"{name} of {_name(node)} is an input of the model and no weight of it.")
            given[name] = value
        elif value is not None and np.any(value):
            raise ArgumentError(
                f"{_name(node)} starts from a state of its own ({name}), which the weights of a layer have no place "
                "for; run the node with run_onnx_node."
            )
    return read_node(node.op_type, node_attributes(node)), given


def _check_widths(nodes: Sequence[Any], parts: Sequence[Sequence[Stacked]]) -> None:
    for node, (below, layer) in zip(nodes[1:], pairwise(parts), strict=True):
        width = sum(stack.U.shape[1] for stack in below)
        if layer[0].W.shape[1] != width:
            raise ArgumentError(
                f"W of {_name(node)} reads {layer[0].W.shape[1]} features, but the layer below gives {width}; "
                "choose the nodes of one stack, first to last."
            )
