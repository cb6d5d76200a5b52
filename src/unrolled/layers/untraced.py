"""Layers as `torch.compile` sees them: one call whose inside it records instead of reading our Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.engine import scan

if TYPE_CHECKING:
    from unrolled.layers.recurrent import Recurrent


@torch._dynamo.nonstrict_trace
def through(layer: Recurrent, given: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
    """`Recurrent.forward` with the arguments that are not None, without capture; the parts of the state in a row."""
    outputs, state = layer.through(scan, given.pop("x", None), given.pop("state", None), **given)
    return outputs, [value for one in state for direction in one for value in direction]


def forward(
    layer: Recurrent, x: Tensor | None, state: Any, lengths: Any, steps: int | None
) -> tuple[Tensor, tuple[tuple[Any, ...], ...]]:
    """What the tracer reads: named tuples become plain ones and back, because it knows no others inside a call."""
    plain = None if state is None else tuple(tuple(tuple(d) for d in one) for one in state)
    given = {"x": x, "state": plain, "lengths": lengths, "steps": steps}
    outputs, values = through(layer, {name: value for name, value in given.items() if value is not None})
    width, kind, after, place = len(layer.program.state), layer.program.state_type, [], 0
    for one in layer.stack:
        parts = []
        for _ in one.directions:
            parts.append(kind(*values[place : place + width]))
            place += width
        after.append(tuple(parts))
    return outputs, tuple(after)
