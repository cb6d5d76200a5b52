"""Recurrent layers of the runtime under a stream: one step at a time through kernels that are bound to its memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self

from unrolled.runtime.recurrent import Recurrent, State
from unrolled.runtime.weights import Array
from unrolled.streams.network import kept_state, loaded_state
from unrolled.streams.saved import Kept


class RuntimeLayers:
    """Recurrent layers, then `outputs` (T, H) -> (T, O) where there are any."""

    def __init__(self, recurrent: Recurrent, outputs: Callable[[Array], Array] | None = None) -> None:
        self.recurrent = recurrent
        self.outputs = outputs
        self.stepper = recurrent.stepper()

    def __call__(self, x: Array) -> Array:
        if len(x) == 1:
            y = self.stepper(x[0])[None]
        else:
            outputs, state = self.recurrent(x[None], self.stepper.state())
            self.stepper.put(state)
            y = outputs[0]
        # A step's output lies where a later one will.
        return y.copy() if self.outputs is None else self.outputs(y)

    def fork(self) -> Self:
        other = copy.copy(self)
        other.stepper = self.stepper.fork()
        return other

    def save(self) -> Kept:
        return kept_state(as_arrays(self.recurrent, self.stepper.state()))

    def load(self, kept: Kept) -> None:
        self.stepper.put(as_state(self.recurrent, kept))


def as_arrays(recurrent: Recurrent, state: State) -> list[dict[str, Array]]:
    """The state of one row, by layer and name."""
    return [
        {name: part[0] for name, part in zip(layer.directions[0].program.state, parts, strict=True)}
        for layer, (parts, *_) in zip(recurrent.layers, state, strict=True)
    ]


def as_state(recurrent: Recurrent, kept: Kept) -> State:
    """A saved state of one row; raises ArgumentError where it does not fit."""
    found = loaded_state(as_arrays(recurrent, recurrent.initial_state(1)), kept)
    return tuple((tuple(value[None] for value in layer.values()),) for layer in found)
