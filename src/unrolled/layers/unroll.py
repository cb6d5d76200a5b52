"""The same network without a loop: one copy of the layer for each step, all sharing its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from unrolled import engine
from unrolled.cell import Program
from unrolled.errors import ArgumentError
from unrolled.layers.drawn import step_noise
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.state import State


class Step(nn.Module):
    """What one step of the unrolled network computes; its parameters are those of every other step."""

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self,
        program: Program,
        weights: engine.Weights,
        x: Tensor | None,
        state: Any,
        noise: Mapping[str, Tensor] | None,
    ) -> tuple[Tensor, Any]:
        """From x (B, F) and the message of the step before to an output (B, O) and the message to the next."""
        return engine.step(program, weights, x, state, noise=noise, engine=self.layer.engine)


class Unrolled(nn.Module):
    """A recurrent layer as a feed-forward network for sequences of a fixed number of steps.

    `steps[t]` is the sub-module of step t; all of them hold the same layer, so there is one set of weights. In a stack
    or with two directions a step's module is called once for each. Outputs, states and gradients are the layer's own.
    Raises ArgumentError for x that has another number of steps.
    """

    def __init__(self, layer: Recurrent, steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise ArgumentError(f"a network of {steps} steps was asked for; give at least 1.")
        self.steps = nn.ModuleList(Step(layer) for _ in range(steps))

    @property
    def layer(self) -> Recurrent:
        """The layer that every step holds."""
        return cast("Step", self.steps[0]).layer

    def forward(
        self, x: Tensor | None, state: State | None = None, *, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, State]:
        steps = len(self.steps)
        if x is not None and x.dim() == 3 and x.shape[1] != steps:
            raise ArgumentError(
                f"x has {x.shape[1]} steps, but the network was unrolled for {steps}; call unroll(layer, {x.shape[1]})."
            )
        return self.layer.through(self._chain, x, state, lengths=lengths, steps=steps)

    def _chain(
        self,
        program: Program,
        weights: engine.Weights,
        xs: Tensor | None,
        state: Any,
        *,
        noise: Mapping[str, Tensor] | None,
        lengths: Tensor | None,
        reverse: bool,
        **options: Any,
    ) -> tuple[Tensor, Any]:
        """`engine.scan` as a chain of the step modules."""
        outputs: list[Tensor] = []
        for t in reversed(range(len(self.steps))) if reverse else range(len(self.steps)):
            x = None if xs is None else xs[:, t]
            y, after = self.steps[t](program, weights, x, state, step_noise(program, noise, t))
            if lengths is not None:
                alive = (t < lengths)[:, None]
                y, after = (
                    y.where(alive, 0),
                    program.state_type(*(a.where(alive, s) for a, s in zip(after, state, strict=True))),
                )
            outputs.append(y)
            state = after
        return torch.stack(outputs[::-1] if reverse else outputs, 1), state


def unroll(layer: Recurrent, steps: int) -> Unrolled:
    """The layer without its loop: a feed-forward network of `steps` sub-modules that share its weights."""
    return Unrolled(layer, steps)
