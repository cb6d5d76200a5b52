"""What stands in front of recurrent layers and has to wait: convolutions, and steps that are read in groups."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.streams.protocol import Part
from unrolled.streams.saved import Kept


class Front(Part, Protocol):
    """Steps (T, F) -> those that the recurrent layers read (T', C), each as soon as all that it sees has come."""

    def push(self, x: Numbers) -> Numbers:
        """Those that are certain after the next steps."""
        ...

    def finish(self) -> Numbers:
        """Those that waited."""
        ...

    def fork(self) -> Self:
        """Another that goes on from here."""
        ...


class ConvolutionStream:
    """One convolution of kernel K and stride s: the inputs that outputs to come will see are kept.

    `run` maps (T, F) to ((T - K) // s + 1, C), without padding.
    """

    def __init__(self, kernel: int, stride: int, inputs: int, outputs: int, run: Callable[[Numbers], Numbers]) -> None:
        self.kernel, self.stride, self.outputs, self.run = kernel, stride, outputs, run
        # Before its first step a layer sees zeros, and behind its last.
        self.zeros: Numbers = np.zeros((kernel // 2, inputs), np.float32)
        self.held = self.zeros
        self.passed = 0
        """So many inputs to come are seen by no output."""

    def push(self, x: Numbers) -> Numbers:
        over = min(self.passed, len(x))
        self.passed -= over
        inputs = np.concatenate([self.held, x[over:]])
        count = max(0, (len(inputs) - self.kernel) // self.stride + 1)
        used = count * self.stride
        # A view would keep the whole part.
        self.held, self.passed = inputs[used:].copy(), self.passed + max(0, used - len(inputs))
        return self.run(inputs) if count else np.zeros((0, self.outputs), np.float32)

    def save(self) -> Kept:
        return Kept(held=self.held, passed=self.passed)

    def load(self, kept: Kept) -> None:
        most = self.kernel + self.stride
        self.held = kept.finite("held", (None, self.zeros.shape[1]), most=most)
        self.passed = kept.count("passed", most)


class FrontStream:
    """Convolutions, each of which looks (K - 1) / 2 of its inputs ahead, so that many wait until `finish`."""

    def __init__(self, layers: Sequence[ConvolutionStream]) -> None:
        self.layers = list(layers)

    def push(self, x: Numbers) -> Numbers:
        for layer in self.layers:
            x = layer.push(x)
        return x

    def finish(self) -> Numbers:
        x = self.layers[0].push(self.layers[0].zeros)
        for layer in self.layers[1:]:
            x = layer.push(np.concatenate([x, layer.zeros]))
        return x

    def fork(self) -> Self:
        other = copy.copy(self)
        other.layers = [copy.copy(layer) for layer in self.layers]
        return other

    def save(self) -> Kept:
        return Kept.join(**{f"front{place}": layer.save() for place, layer in enumerate(self.layers)})

    def load(self, kept: Kept) -> None:
        for place, layer in enumerate(self.layers):
            layer.load(kept.within(f"front{place}"))


class GroupStream:
    """Whole groups of `size` steps (T, `width`); only the last one may be shorter."""

    def __init__(self, size: int, width: int) -> None:
        self.size = size
        self.rest: Numbers = np.zeros((0, width), np.float32)

    def push(self, x: Numbers) -> Numbers:
        steps = np.concatenate([self.rest, x])
        whole = len(steps) - len(steps) % self.size
        self.rest = steps[whole:].copy()
        return steps[:whole]

    def finish(self) -> Numbers:
        rest, self.rest = self.rest, self.rest[:0]
        return rest

    def fork(self) -> Self:
        return copy.copy(self)

    def save(self) -> Kept:
        return Kept.join(waiting=Kept(steps=self.rest))

    def load(self, kept: Kept) -> None:
        self.rest = kept.within("waiting").finite("steps", (None, self.rest.shape[1]), most=self.size)
