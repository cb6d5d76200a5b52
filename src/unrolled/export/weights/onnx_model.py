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
from unrolled.export.to_onnx.nodes import node_weights
from unrolled.export.to_onnx.steps import evaluated
from unrolled.export.weights.onnx_node import DIRECTIONS, INPUTS, Node, node_attributes, read_node
from unrolled.export.weights.stacked import Stacked, check_plain, recurrent
from unrolled.layers import Recurrent

KINDS = ("RNN", "GRU", "LSTM")
# Nodes between stored weights and what reads them, which do not make much of little.
_FOLDED = {"Cast", "Concat", "Constant", "DequantizeLinear", "Identity", "Reshape", "Slice", "Squeeze", "Transpose",
           "Unsqueeze"}  # fmt: skip
_DEEPEST, _LARGEST, _MODERN = 20, 2**31, 21
_DAMAGE = (ValueError, TypeError, RuntimeError, IndexError, AttributeError, KeyError, AssertionError)
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
    model = _load(source) if isinstance(source, (str, Path)) else source
    constants = _Constants(model)
    chosen = _chosen(model.graph, nodes)
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
    """The values of a model that do not depend on its inputs."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._made = {name: node for node in model.graph.node for name in node.output if name}

    def value(self, name: str, depth: int = 0) -> np.ndarray | None:
        """The array of this name, where a few nodes at most make it of stored ones; None where it is anything else.

        Raises ArgumentError where what is stored is damaged.
        """
        try:
            if name in self._stored:
                return np.asarray(library().numpy_helper.to_array(self._stored[name]))
            node = self._made.get(name)
            if node is None or node.op_type not in _FOLDED or depth > _DEEPEST:
                return None
            given = [one for one in node.input if one]
            needed = {one: self.value(one, depth + 1) for one in dict.fromkeys(given)}
            known = {one: value for one, value in needed.items() if value is not None}
            if len(known) < len(needed):
                return None
            if sum(known[one].nbytes for one in given) > _LARGEST:
                raise ValueError("they would take more than 2 GiB")
            return self._run(node, name, known)
        except ArgumentError:
            raise
        except _DAMAGE as error:
            raise ArgumentError(f"the model's values for {name!r} are damaged ({error}); export it anew.") from None

    def _run(self, node: Any, name: str, given: dict[str, Any]) -> np.ndarray:
        from onnx.reference import ReferenceEvaluator

        helper = library().helper
        inputs = [helper.make_empty_tensor_value_info(one) for one in given]
        graph = helper.make_graph([node], "constant", inputs, [helper.make_empty_tensor_value_info(name)])
        version = max((one.version for one in self._model.opset_import if not one.domain), default=_MODERN)
        # Set 13 turned attributes of these nodes into inputs; since then they say the same, but not all are run.
        opset = helper.make_opsetid("", version if version < 13 else max(version, _MODERN))
        model = helper.make_model(graph, opset_imports=[opset])
        found: Any = ReferenceEvaluator(model).run(None, given)
        return np.asarray(found[0])


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
