"""A network of torch under a stream: its recurrent state, and one step at a time through the compiled kernel."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from unrolled.data.arrays import Numbers
from unrolled.layers import Recurrent, State
from unrolled.layers.bound import BoundStep
from unrolled.models.front import Convolutions
from unrolled.streams.saved import Kept, damaged
from unrolled.tasks.streams.front import FrontStream

Features = Callable[[Any, int], Tensor]
"""Features (1, T, F) of steps, of which so many came before."""


class TorchNetwork:
    """Features -> convolutions -> recurrent layers -> outputs, a part of one sequence at a time."""

    def __init__(
        self,
        features: Features,
        recurrent: Recurrent,
        outputs: Callable[[Tensor], Tensor] | None,
        front: Convolutions | None = None,
    ) -> None:
        self.features = features
        self.recurrent = recurrent
        self.outputs = outputs
        self.front = None if front is None else FrontStream(front)
        self.state = recurrent.initial_state(1)
        self.count = 0
        self.bound: BoundStep | None = None

    def read(self, steps: Any) -> Numbers:
        with torch.no_grad():
            x = self.features(steps, self.count)
            self.count += x.shape[1]
            return self._through(x if self.front is None else self.front.push(x))

    def finish(self) -> Numbers:
        if self.front is None:
            return np.zeros((0, 0), np.float32)
        with torch.no_grad():
            return self._through(self.front.finish())

    def fork(self) -> Self:
        # States are never written in place, so both may go on from the same tensors.
        other = copy.copy(self)
        other.front = None if self.front is None else self.front.fork()
        return other

    def save(self) -> Kept:
        held = Kept() if self.front is None else self.front.save()
        return Kept(count=self.count, **state_arrays(self.state), **held.values)

    def load(self, kept: Kept) -> None:
        self.state = loaded_state(self.state, kept)
        self.count = kept.count("count")
        if self.front is not None:
            self.front.load(kept)

    def _through(self, x: Tensor) -> Numbers:
        if not x.shape[1]:
            return np.zeros((0, 0), np.float32)
        if x.shape[1] == 1:
            y = self._step(x[:, 0])
        else:
            outputs, self.state = self.recurrent(x, self.state)
            y = outputs[0]
        if self.outputs is not None:
            y = self.outputs(y)
        found: Numbers = y.float().cpu().numpy()
        return found

    def _step(self, x: Tensor) -> Tensor:
        """One step: x (1, F) -> (1, O)."""
        bound = self.bound
        if bound is not None and bound.ready:
            y, self.state = bound(x, self.state)
            return y
        y, self.state = self.recurrent.step(x, self.state)
        self.bound = self.recurrent.bound_step(x, self.state)
        return y


def state_arrays(state: State) -> dict[str, Numbers]:
    """A state of one row as arrays by layer and name."""
    return {
        f"layer{place}.{name}": value[0].detach().float().cpu().numpy()
        for place, layer in enumerate(state)
        for name, value in layer[0]._asdict().items()
    }


def loaded_state(like: State, kept: Kept) -> State:
    """A state of one row, with the names, sizes and place of `like`; raises ArgumentError where one does not fit."""
    layers: list[tuple[Any, ...]] = []
    for place, layer in enumerate(like):
        values = []
        for name, value in layer[0]._asdict().items():
            array = kept.array(f"layer{place}.{name}", tuple(value.shape[1:]))
            if not np.isfinite(array).all():
                raise damaged(f"layer{place}.{name} is not finite")
            values.append(torch.from_numpy(array.copy())[None].to(value))
        layers.append((type(layer[0])(*values),))
    return tuple(layers)
