"""`Recurrent` as nodes: ONNX's own where the cell is one, else a Scan whose body is the cell's program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.cell import Leaves, Products, Program, register_evaluator, run, without_noise
from unrolled.export.to_onnx.graph import FLOAT, INT32, INT64, Graph, Value, library
from unrolled.export.to_onnx.native import Native, native
from unrolled.export.to_onnx.operations import ONNX
from unrolled.export.weights.kinds import without_dropout
from unrolled.layers import Recurrent

Numbers = npt.NDArray[np.float32]
# The state of a layer: for each layer and direction the values by name.
States = list[list[dict[str, Value]]]

register_evaluator(Value, ONNX)


def evaluated(program: Program) -> Program:
    """The program of evaluation, without the factors that are 1 on average."""
    plain = without_dropout(program)
    return without_noise(plain, plain.noise)


def method(layer: Recurrent) -> str:
    """What the layer becomes, in words."""
    found = native(evaluated(layer.program))
    return "Scan" if found is None else found.title


@dataclass(frozen=True)
class Rows:
    """The steps that count: how many there are of each row, (B,) int64, and where they lie, (T, B, 1) bool."""

    lengths: Value
    inside: Value

    @classmethod
    def of(cls, lengths: Value, steps: Value) -> Rows:
        """Of lengths (B,) in a batch of `steps` (1,)."""
        g = lengths.graph
        return cls(lengths, g.add("Less", count(steps).unsqueeze(1), lengths).unsqueeze(2))

    def only(self, x: Value) -> Value:
        """What lies inside, (T, B, F), and zeros elsewhere."""
        return x.graph.add("Where", self.inside, x, 0.0)


def count(steps: Value) -> Value:
    """0, 1, 2, ..., as many as `steps` (1,) says."""
    # Not Range, whose shape ONNX Runtime refuses to infer where the number of steps is fixed.
    g = steps.graph
    one = library().helper.make_tensor("one", library().TensorProto.INT64, [1], [1])
    return g.add("CumSum", g.add("ConstantOfShape", steps, value=one), g.constant(np.array(0)), exclusive=1)


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
    x = rows.only(x)
    states = _initial(g, layer, x.size(1)) if states is None else states
    after: States = []
    for i, one in enumerate(layer.stack):
        inner = x if one.norm is None else layer_norm(g, x, one.norm, f"{name}.layers.{i}.norm")
        places = [f"{name}.layers.{i}.{side}" for side in ("forwards", "backwards")]
        found = native(evaluated(layer.program))
        if found is not None:
            outputs, last = _node(g, found, one.directions, inner, rows, states[i], places)
        else:
            parts = [
                _scan(g, direction, inner, rows, states[i][k], places[k], reverse=k == 1)
                for k, direction in enumerate(one.directions)
            ]
            outputs = parts[0][0] if len(parts) == 1 else g.add("Concat", *(y for y, _ in parts), axis=2)
            last = [end for _, end in parts]
        x = rows.only(outputs + x) if one.residual else outputs
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
            outputs, (last,) = _node(g, found, one.directions, inner.unsqueeze(0), None, states[i], [place])
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


def array(tensor: Any) -> Numbers:
    """A tensor's numbers as float32."""
    found: Numbers = tensor.detach().float().cpu().numpy()
    return found


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


class Step:
    """One time step of a cell with its weights, on values of a graph."""

    def __init__(self, g: Graph, direction: Any, name: str) -> None:
        self.graph, self.direction, self.name = g, direction, name
        self.program: Program = evaluated(direction.program)
        self.hidden: int = direction.sizes.hidden
        program = self.program
        self._place = {gate: k for k, gate in enumerate(program.recurrent)}
        direct = [self._place[gate] for gate in program.direct]
        # One product serves every gate that reads the first state, where they stand side by side in U.
        self._joined = len(direct) > 1 and direct == list(range(direct[0], direct[0] + len(direct)))
        self._full = _full(program)

    def gates(self, x: Value) -> Value:
        """W x + b, (..., G * H)."""
        g, direction = self.graph, self.direction
        W = array(direction.W)
        found = x @ g.weight(f"{self.name}.W", W, W.shape, (1, 0))
        return found if direction.b is None else found + g.constant(array(direction.b), f"{self.name}.b")

    def __call__(self, gates: Value, state: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
        """From W x + b (B, G * H) and the state to the output (B, O) and the next state."""
        program, g = self.program, self.graph
        split = self._split(gates, program.gates)
        first = state[next(iter(program.state))]
        names = (*program.gates, *program.products)
        vectors = {
            name: g.constant(array(self.direction.vectors[name]), f"{self.name}.{name}") for name in program.vectors
        }
        done: dict[str, Value] = {}

        def multiply(name: str, operand: Any) -> Value:
            if name in program.products:
                matrix = array(self.direction.products[name])
                return self._times(g.weight(f"{self.name}.{name}", matrix, matrix.shape, (1, 0)), operand)
            if self._joined and operand == first and name in program.direct:
                if not done:
                    done.update(self._split(self._product(program.direct, first), program.direct))
                return done[name]
            return self._product((name,), operand)

        values = run(
            program,
            Leaves(program.name, "x", split),
            Products(program.name, names, first, multiply),
            Leaves(program.name, "s", dict(state)),
            Leaves(program.name, "p", vectors),
        )
        sizes = self.direction.sizes
        batch = first.size(0)
        widths = (sizes.of(width) for width in program.state.values())
        after = [
            self._whole(values[i], i, batch, width) for i, width in zip(program.next, widths, strict=True)
        ]  # a state may be a plain number or one vector for all rows
        output = self._whole(values[program.output], program.output, batch, self.direction.output_size)
        return output, dict(zip(program.state, after, strict=True))

    def _whole(self, value: Any, node: int, batch: Value, width: int) -> Value:
        """A value for every row and unit."""
        return value if self._full[node] else self.graph.wrap(value).expand(batch, width)

    def _split(self, stacked: Value, names: Sequence[str]) -> dict[str, Value]:
        """Gates side by side as single ones."""
        if len(names) == 1:
            return {names[0]: stacked}
        sizes = self.graph.integers(*[self.hidden] * len(names))
        return dict(zip(names, self.graph.node("Split", stacked, sizes, count=len(names), axis=-1), strict=True))

    def _product(self, gates: Sequence[str], operand: Value) -> Value:
        """U_k operand + c_k of neighbouring gates side by side."""
        direction, hidden, heads = self.direction, self.hidden, self.program.heads
        first, count = self._place[gates[0]], len(gates)
        U = array(direction.U)[first * hidden : (first + count) * hidden]
        name = f"{self.name}.U" if count == len(self.program.recurrent) else f"{self.name}.U.{gates[0]}"
        g = self.graph
        if heads == 1:
            found = self._times(g.weight(name, U, U.shape, (1, 0)), operand)
        else:
            block, width = hidden // heads, U.shape[1]
            matrix = g.weight(name, U, (count, heads, block, width), (1, 3, 0, 2), (heads, width, count * block))
            parts = operand.reshape(-1, heads, width).transpose(1, 0, 2) @ matrix
            found = parts.reshape(heads, -1, count, block).transpose(1, 2, 0, 3).reshape(-1, count * hidden)
        biased = self.program.recurrent_biased
        if direction.c is None or not set(gates) & set(biased):
            return found
        c, zero = array(direction.c), np.zeros(hidden, np.float32)
        own = {gate: c[k * hidden : (k + 1) * hidden] for k, gate in enumerate(biased)}
        return found + g.constant(np.concatenate([own.get(gate, zero) for gate in gates]), f"{name}.bias")

    def _times(self, matrix: Value, operand: Any) -> Value:
        return self.graph.wrap(operand) @ matrix


def _full(program: Program) -> list[bool]:
    """For each node, whether it has a number for every row and unit, and not one for all of them."""
    found: list[bool] = []
    for node in program.nodes:
        if node.operation in ("gate", "state"):
            found.append(True)
        elif node.operation == "mean":
            found.append(False)
        elif node.operation == "product":
            found.append(found[node.arguments[0]])
        else:
            found.append(any(found[a] for a in node.arguments))
    return found


def _scan(
    g: Graph, direction: Any, x: Value, rows: Rows, state: Mapping[str, Value], name: str, *, reverse: bool
) -> tuple[Value, dict[str, Value]]:
    """A Scan over the steps: x (T, B, F) -> outputs (T, B, O) and the last state. Ended rows stand still."""
    from onnx import TensorProto, helper

    step = Step(g, direction, name)
    program, sizes = step.program, direction.sizes
    gates = step.gates(x)
    names = list(program.state)
    with g.body() as nodes:
        old = {state: Value(g, g.fresh(f"old_{state}")) for state in names}
        gate, alive = Value(g, g.fresh("gates")), Value(g, g.fresh("alive"))
        output, after = step(gate, old)
        kept = {state: g.add("Where", alive, after[state], old[state]) for state in names}
        shown = g.add("Where", alive, output, 0.0)

    def info(value: Value, width: int, kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor_value_info(value.name, kind, ["batch", width])

    widths = {state: sizes.of(width) for state, width in program.state.items()}
    body = helper.make_graph(
        nodes,
        f"{program.name}, one step",
        [
            *(info(old[state], widths[state]) for state in names),
            info(gate, len(program.gates) * sizes.hidden),
            info(alive, 1, TensorProto.BOOL),
        ],
        [*(info(kept[state], widths[state]) for state in names), info(shown, direction.output_size)],
    )
    way = int(reverse)
    *last, outputs = g.node(
        "Scan", *(state[n] for n in names), gates, rows.inside, count=len(names) + 1, body=body, num_scan_inputs=2,
        scan_input_directions=[way, way], scan_output_directions=[way],
    )  # fmt: skip
    return outputs, dict(zip(names, last, strict=True))


def _node(
    g: Graph, found: Native, directions: Sequence[Any], x: Value, rows: Rows | None,
    states: Sequence[Mapping[str, Value]], names: Sequence[str],
) -> tuple[Value, list[dict[str, Value]]]:  # fmt: skip
    """One recurrent node for all directions: x (T, B, F) -> outputs (T, B, D * O) and the last state of each."""
    count, hidden = len(directions), directions[0].sizes.hidden
    parts = [node_weights(direction, found) for direction in directions]
    name = names[0] if count == 1 else names[0].removesuffix(".forwards")
    W, R, B, P = (np.concatenate(group) for group in zip(*parts, strict=True))
    given = [
        x,
        g.weight(f"{name}.W", W, (count, -1, W.shape[1])),
        g.weight(f"{name}.R", R, (count, -1, hidden)),
        g.constant(B.reshape(count, -1), f"{name}.B"),
        None if rows is None else rows.lengths.cast(INT32),
    ]
    start = [_joined(g, [side[state].unsqueeze(0) for side in states]) for state in found.state]
    given += start
    if len(P):
        given.append(g.constant(P.reshape(count, -1), f"{name}.P"))
    functions = {key: value * count if isinstance(value, list) else value for key, value in found.attributes.items()}
    way = "forward" if count == 1 else "bidirectional"
    outputs, *last = g.node(
        found.kind, *given, count=1 + len(start), hidden_size=hidden, direction=way, **functions
    )  # (T, D, B, H), (D, B, H), ...
    shown = outputs.transpose(0, 2, 1, 3).reshape(0, 0, count * hidden) if count > 1 else outputs.squeeze(1)
    if rows is not None:
        # What the nodes return as the last state of a row without any step is not told by the standard.
        some = g.add("Greater", rows.lengths, g.integers(0)).unsqueeze(1)
        last = [g.add("Where", some, end, begin) for end, begin in zip(last, start, strict=True)]
    after = []
    for k in range(count):
        ends = [end.squeeze(0) if count == 1 else end.cut(0, k, k + 1).squeeze(0) for end in last]
        after.append(dict(zip(found.state, ends, strict=True)))
    return shown, after


def _joined(g: Graph, parts: Sequence[Value]) -> Value:
    return parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=0)


def node_weights(direction: Any, found: Native) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """W (G*H, F), R (G*H, H), B (2*G*H,) and peepholes (3*H,), of which there may be none, as ONNX has them."""
    program, hidden = evaluated(direction.program), direction.sizes.hidden

    def blocks(parameter: Any, gates: Sequence[str]) -> dict[str, Numbers]:
        return {} if parameter is None else dict(zip(gates, np.split(array(parameter), len(gates)), strict=True))

    def ordered(rows: dict[str, Numbers], *width: int) -> Numbers:
        zero = np.zeros((hidden, *width), np.float32)
        signs = {gate: np.float32(-1 if gate in found.turned else 1) for gate in program.gates}
        return np.concatenate([zero if gate is None else signs[gate] * rows.get(gate, zero) for gate in found.gates])

    W = ordered(blocks(direction.W, program.gates), direction.sizes.input)
    R = ordered(blocks(direction.U, tuple(program.recurrent)), hidden)
    b = ordered(blocks(direction.b, program.gates))
    c = ordered(blocks(direction.c, program.recurrent_biased))
    peepholes = [array(direction.vectors[vector]) for vector in found.peepholes]
    return W, R, np.concatenate([b, c]), np.concatenate([*peepholes, np.zeros(0, np.float32)])
