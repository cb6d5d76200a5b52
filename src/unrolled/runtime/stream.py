"""A network of NumPy and compiled kernels under a stream: its recurrent state, one step or one part at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from unrolled.runtime.front import Convolutions, FrontStream
from unrolled.runtime.recurrent import Recurrent, State
from unrolled.runtime.weights import Array
from unrolled.streams.saved import Kept, damaged

Features = Callable[[Any, int], Array]
"""Features (1, T, F) of steps, of which so many came before."""


class StreamNetwork:
    """Features -> convolutions -> recurrent layers -> outputs, a part of one sequence at a time."""

    def __init__(
        self,
        features: Features,
        recurrent: Recurrent,
        outputs: Callable[[Array], Array] | None,
        front: Convolutions | None = None,
    ) -> None:
        self.features = features
        self.recurrent = recurrent
        self.outputs = outputs
        self.front = None if front is None else FrontStream(front)
        self.stepper = recurrent.stepper()
        self.count = 0

    def read(self, steps: Any) -> Array:
        x = self.features(steps, self.count)
        self.count += x.shape[1]
        return self._through(x if self.front is None else self.front.push(x))

    def finish(self) -> Array:
        return np.zeros((0, 0), np.float32) if self.front is None else self._through(self.front.finish())

    def fork(self) -> Self:
        other = copy.copy(self)
        other.front = None if self.front is None else self.front.fork()
        other.stepper = self.recurrent.stepper()
        other.stepper.put(self.stepper.state())
        return other

    def save(self) -> Kept:
        state, held = self.stepper.state(), Kept() if self.front is None else self.front.save()
        return Kept(count=self.count, **state_arrays(self.recurrent, state), **held.values)

    def load(self, kept: Kept) -> None:
        self.stepper.put(loaded_state(self.recurrent, kept))
        self.count = kept.count("count")
        if self.front is not None:
            self.front.load(kept)

    def _through(self, x: Array) -> Array:
        if not x.shape[1]:
            return np.zeros((0, 0), np.float32)
        if x.shape[1] == 1:
            y = self.stepper(x[0, 0])[None]
        else:
            outputs, state = self.recurrent(x, self.stepper.state())
            self.stepper.put(state)
            y = outputs[0]
        # A step's output lies where a later one will.
        return y.copy() if self.outputs is None else self.outputs(y)


def state_arrays(recurrent: Recurrent, state: State) -> dict[str, Array]:
    """The state of one row as the streams of torch save it, so that either goes on from the other's."""
    return {
        f"layer{place}.{name}": part[0]
        for place, (layer, (parts, *_)) in enumerate(zip(recurrent.layers, state, strict=True))
        for name, part in zip(layer.directions[0].program.state, parts, strict=True)
    }


def loaded_state(recurrent: Recurrent, kept: Kept) -> State:
    """The same back; raises ArgumentError where an array does not fit or is not finite."""
    found: list[tuple[tuple[Array, ...], ...]] = []
    for place, layer in enumerate(recurrent.layers):
        direction, parts = layer.directions[0], []
        for name, width in direction.program.state.items():
            array = kept.array(f"layer{place}.{name}", (direction.sizes.of(width),))
            if not np.isfinite(array).all():
                raise damaged(f"layer{place}.{name} is not finite")
            parts.append(array[None].copy())
        found.append((tuple(parts),))
    return tuple(found)
