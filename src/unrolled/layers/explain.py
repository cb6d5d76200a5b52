"""Which engine runs a layer, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unrolled import engine
from unrolled.cell import Cell, Program
from unrolled.engine import Weights
from unrolled.layers.recurrent import Recurrent


@dataclass(frozen=True)
class LayerExplanation:
    """What `engine.explain` says for each direction of each layer, under names such as "layer 0 forwards"."""

    parts: Mapping[str, Any]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {part}" for name, part in self.parts.items())


def explain(what: Recurrent | Cell | Program, *arguments: Any, **options: Any) -> Any:
    """Which engine a call with the same arguments would take, and why not the others; nothing is computed.

    `explain(layer, x, state, lengths=...)` for a layer, `explain(cell, weights, xs, ...)` as for `scan`.
    """
    if not isinstance(what, Recurrent):
        return engine.explain(what, *arguments, **options)
    parts: dict[str, Any] = {}

    def look(program: Program, weights: Weights, xs: Tensor | None, state: Any, **given: Any) -> tuple[Tensor, Any]:
        found = engine.explain(program, weights, xs, state, **given)
        directions = 2 if what.bidirectional else 1
        parts[f"layer {len(parts) // directions} {'backwards' if given['reverse'] else 'forwards'}"] = found
        plan = found.plan
        return weights.W.new_zeros(plan.batch, plan.steps, plan.sizes.of(program.output_width)), state

    with torch.random.fork_rng(devices=[]):
        what.through(look, *arguments, **options)
    return LayerExplanation(parts)
