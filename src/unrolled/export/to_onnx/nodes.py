"""ONNX's own recurrent node with a layer's weights in its order of gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unrolled.export.to_onnx.graph import INT32, Graph, Value
from unrolled.export.to_onnx.native import Native
from unrolled.export.to_onnx.steps import Numbers, Rows, array, evaluated


def node(
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
