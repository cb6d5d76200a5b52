"""`Recurrent` as nodes: ONNX's own where the cell is one, else a Scan whose body is the cell's program."""

from __future__ import annotations

from typing import Any

from unrolled.export.to_onnx.graph import FLOAT, INT64, Graph, Value
from unrolled.export.to_onnx.native import native
from unrolled.export.to_onnx.nodes import node
from unrolled.export.to_onnx.scan import Step, scan
from unrolled.export.to_onnx.steps import Numbers, Rows, array, evaluated
from unrolled.layers import Recurrent

# The state of a layer: for each layer and direction the values by name.
States = list[list[dict[str, Value]]]


def method(layer: Recurrent) -> str:
    """What the layer becomes, in words."""
    found = native(evaluated(layer.program))
    return "Scan" if found is None else found.title


def input_lengths(g: Graph, x: Value, *, steps: int = 1) -> Value:
    """The input `lengths` (B,) of a batch (B, T, ...)."""
    # A number out of range would be an error in some nodes and in others not.
    return g.add("Max", g.add("Min", g.input("lengths", INT64, ["batch"]), x.size(steps)), g.integers(0))


def state_names(layer: Recurrent, prefix: str = "state") -> list[list[dict[str, str]]]:
    """The name of each input of the state, such as state_0_h, or state_0_backward_h of two directions."""
    sides = ("forward_", "backward_") if layer.bidirectional else ("",)
    return [
        [{name: f"{prefix}_{i}_{side}{name}" for name in layer.program.state} for side in sides]
        for i in range(len(layer.stack))
    ]


def input_states(g: Graph, layer: Recurrent, batch: Value, prefix: str = "state") -> States:
    """The inputs of a layer's state for `batch` (1,) rows, (B, size) each, or (1, size) for what all rows share."""
    return [
        [
            {
                state: g.input(name, FLOAT, ["batch_or_1", width]).expand(batch, width)
                for (state, name), width in zip(names.items(), _widths(direction), strict=True)
            }
            for names, direction in zip(sides, one.directions, strict=True)
        ]
        for sides, one in zip(state_names(layer, prefix), layer.stack, strict=True)
    ]


def start_values(layer: Recurrent, prefix: str = "state") -> dict[str, Numbers]:
    """What the inputs of the state are before the first step, (1, size) each."""
    start = layer.initial_state(1)
    return {
        name: array(getattr(start[i][k], state))
        for i, sides in enumerate(state_names(layer, prefix))
        for k, names in enumerate(sides)
        for state, name in names.items()
    }


def output_states(g: Graph, layer: Recurrent, states: States, prefix: str = "next") -> None:
    """The state after the last step as outputs, named as the inputs are."""
    for sides, one, after in zip(state_names(layer, prefix), layer.stack, states, strict=True):
        for names, direction, values in zip(sides, one.directions, after, strict=True):
            for (state, name), width in zip(names.items(), _widths(direction), strict=True):
                g.output(name, values[state], FLOAT, ["batch", width])


def _widths(direction: Any) -> list[int]:
    return [direction.sizes.of(width) for width in direction.program.state.values()]


def sequences(
    g: Graph, layer: Recurrent, x: Value, lengths: Value, states: States | None = None, name: str = "recurrent"
) -> tuple[Value, States]:
    """Whole sequences: x (B, T, F), lengths (B,) -> outputs (B, T, D * O) and the state after the last step."""
    x = x.transpose(1, 0, 2)
    rows = Rows.of(lengths, x.size(0))
    # Zeros past a row's end also keep the residual sums there zero.
    x = rows.only(x)
    states = _initial(g, layer, x.size(1)) if states is None else states
    after: States = []
    for i, one in enumerate(layer.stack):
        inner = x if one.norm is None else layer_norm(g, x, one.norm, f"{name}.layers.{i}.norm")
        places = [f"{name}.layers.{i}.{side}" for side in ("forwards", "backwards")]
        found = native(evaluated(layer.program))
        if found is not None:
            outputs, last = node(g, found, one.directions, inner, rows, states[i], places)
        else:
            parts = [
                scan(g, direction, inner, rows, states[i][k], places[k], reverse=k == 1)
                for k, direction in enumerate(one.directions)
            ]
            outputs = parts[0][0] if len(parts) == 1 else g.add("Concat", *(y for y, _ in parts), axis=2)
            last = [end for _, end in parts]
        x = outputs + x if one.residual else outputs
        after.append(last)
    return x.transpose(1, 0, 2), after


def one_step(g: Graph, layer: Recurrent, x: Value, states: States, name: str = "recurrent") -> tuple[Value, States]:
    """One step: x (B, F) -> output (B, O) and the next state."""
    after: States = []
    for i, one in enumerate(layer.stack):
        inner = x if one.norm is None else layer_norm(g, x, one.norm, f"{name}.layers.{i}.norm")
        place = f"{name}.layers.{i}.forwards"
        found = native(evaluated(layer.program))
        if found is not None:
            outputs, (last,) = node(g, found, one.directions, inner.unsqueeze(0), None, states[i], [place])
            outputs = outputs.squeeze(0)
        else:
            step = Step(g, one.forwards, place)
            outputs, last = step(step.gates(inner), states[i][0])
        x = outputs + x if one.residual else outputs
        after.append([last])
    return x, after


def layer_norm(g: Graph, x: Value, norm: Any, name: str) -> Value:
    """`torch.nn.LayerNorm` over the last axis."""
    scale, bias = (g.constant(array(getattr(norm, part)), f"{name}.{part}") for part in ("weight", "bias"))
    return g.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=float(norm.eps))


def _initial(g: Graph, layer: Recurrent, batch: Value) -> States:
    """The initial state as constants for `batch` (1,) rows."""
    start = layer.initial_state(1)
    return [
        [
            {state: g.constant(array(value)).expand(batch, value.shape[1]) for state, value in side._asdict().items()}
            for side in one
        ]
        for one in start
    ]
