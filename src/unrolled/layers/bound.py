"""The step of a stream: what `Recurrent.step` looks up at every call, found once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from unrolled.layers.state import State

# x (B, F), state of one direction -> output (B, O), state.
ReadyStep = Callable[[Tensor, Any], tuple[Tensor, Any]]


class BoundStep:
    """x (1, F), state -> output (1, O), state: a compiled step of each layer, without gradients.

    `ready` says whether it may still be called: in the thread that found it, whose memory it writes to, in evaluation,
    and while the parameters lie where they did.
    """

    def __init__(self, layer: nn.Module, steps: Sequence[ReadyStep]) -> None:
        self.layer = layer
        self.steps = steps
        self.thread = threading.get_ident()
        self.places = [(parameter, parameter.data_ptr()) for parameter in layer.parameters()]

    @property
    def ready(self) -> bool:
        if self.layer.training or self.thread != threading.get_ident():
            return False
        return all(parameter.data_ptr() == place for parameter, place in self.places)

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        after = []
        for step, start in zip(self.steps, state, strict=True):
            x, last = step(x, start[0])
            after.append((last,))
        return x, tuple(after)
