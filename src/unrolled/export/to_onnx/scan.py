"""A cell's program as nodes: one step of it, and the Scan that takes it along a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unrolled.cell import Leaves, Products, Program, register_evaluator, run
from unrolled.export.to_onnx.graph import Graph, Value
from unrolled.export.to_onnx.operations import ONNX
from unrolled.export.to_onnx.steps import Rows, array, evaluated

register_evaluator(Value, ONNX)


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


def scan(
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
