"""A network under a stream: recurrent layers with their state, of torch or of the small runtime, and what waits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.streams.front import Front
from unrolled.streams.protocol import Part
from unrolled.streams.saved import Kept

Features = Callable[[Any, int], Numbers]
"""Features (T, F) of steps, of which so many came before."""
Arrays = Sequence[Mapping[str, Numbers]]
"""The state of one row: for each layer its vectors by name."""


class Layers(Part, Protocol):
    """Recurrent layers with the state of one row in them, and what stands behind them."""

    def __call__(self, x: Numbers) -> Numbers:
        """The next steps (T, F), at least one -> outputs (T', O)."""
        ...

    def fork(self) -> Self:
        """Others with the same weights that go on from the same state."""
        ...


L = TypeVar("L", bound=Layers)


class StreamNetwork(Generic[L]):
    """Features -> a front that may wait for more -> layers, a part of one sequence at a time."""

    def __init__(self, features: Features, layers: L, front: Front | None = None) -> None:
        self.features = features
        self.layers = layers
        self.front = front
        self.count = 0

    def read(self, steps: Any) -> Numbers:
        x = self.features(steps, self.count)
        self.count += len(x)
        return self._through(x if self.front is None else self.front.push(x))

    def finish(self) -> Numbers:
        return _nothing() if self.front is None else self._through(self.front.finish())

    def fork(self) -> Self:
        other = copy.copy(self)
        other.layers = self.layers.fork()
        other.front = None if self.front is None else self.front.fork()
        return other

    def save(self) -> Kept:
        held = Kept() if self.front is None else self.front.save()
        return Kept(count=self.count, **self.layers.save().values, **held.values)

    def load(self, kept: Kept) -> None:
        self.layers.load(kept)
        self.count = kept.count("count")
        if self.front is not None:
            self.front.load(kept)

    def _through(self, x: Numbers) -> Numbers:
        return self.layers(x) if len(x) else _nothing()


def _nothing() -> Numbers:
    return np.zeros((0, 0), np.float32)


def kept_state(layers: Arrays) -> Kept:
    """A state as torch and the runtime save it alike, so that either goes on from the other's."""
    return Kept(
        **{f"layer{place}.{name}": value for place, layer in enumerate(layers) for name, value in layer.items()}
    )


def loaded_state(like: Arrays, kept: Kept) -> list[dict[str, Numbers]]:
    """The same back, with the names and sizes of `like`; raises ArgumentError where one does not fit."""
    return [
        {name: kept.finite(f"layer{place}.{name}", value.shape) for name, value in layer.items()}
        for place, layer in enumerate(like)
    ]
