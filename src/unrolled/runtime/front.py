"""Convolutions over time in front of recurrent layers, whole and part by part; see `models.front`."""

from __future__ import annotations

import copy

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.runtime.parts import Ids, relu, valid
from unrolled.runtime.weights import Array, Weights
from unrolled.streams.saved import Kept

_EPSILON = 1e-5


class Convolution:
    """relu(norm(sum_k W_k x_{st + k})): one layer without its padding, normalised by the averages of training."""

    def __init__(self, inputs: int, channels: int, kernel: int, weights: Weights, norm: Weights) -> None:
        taps = weights.take("weight", channels, inputs, kernel)
        self.taps = [np.ascontiguousarray(taps[:, :, k].T) for k in range(kernel)]
        deviation = np.sqrt(norm.take("running_var", channels) + np.float32(_EPSILON))
        self.gain = norm.take("weight", channels) / deviation
        self.offset = norm.take("bias", channels) - norm.take("running_mean", channels) * self.gain
        norm.skip("num_batches_tracked")

    def __call__(self, x: Array, stride: int) -> Array:
        """(B, T, F) -> (B, (T - K) // stride + 1, C)."""
        count = (x.shape[1] - len(self.taps)) // stride + 1
        found = sum(x[:, k : k + count * stride : stride][:, :count] @ tap for k, tap in enumerate(self.taps))
        return relu(found * self.gain + self.offset)


class Convolutions:
    """x (B, T, F), lengths -> (B, T', C) and theirs; what is past a sequence's end stays zero."""

    def __init__(self, inputs: int, channels: int, layers: int, kernel: int, stride: int, weights: Weights) -> None:
        if kernel % 2 == 0:
            raise ArgumentError(f"convolutions of kernel={kernel} cannot be made; give an odd kernel")
        self.kernel, self.stride = kernel, stride
        self.layers = [
            Convolution(
                channels if place else inputs,
                channels,
                kernel,
                weights.under(f"convolutions.{place}"),
                weights.under(f"norms.{place}"),
            )
            for place in range(layers)
        ]

    def __call__(self, x: Array, lengths: Ids) -> tuple[Array, Ids]:
        side = self.kernel // 2
        x = np.where(valid(lengths, x.shape[1])[..., None], x, np.float32(0))
        for layer in self.layers:
            lengths = (lengths + self.stride - 1) // self.stride
            found = layer(np.pad(x, ((0, 0), (side, side), (0, 0))), self.stride)
            x = np.where(valid(lengths, found.shape[1])[..., None], found, np.float32(0))
        return x, lengths


class FrontStream:
    """`Convolutions` part by part: (1, T, F) -> (1, T', C), every output as soon as all that it sees has come."""

    def __init__(self, front: Convolutions) -> None:
        self.layers = [_Layer(layer, front.kernel, front.stride) for layer in front.layers]

    def push(self, x: Array) -> Array:
        """The outputs that are certain after the next steps."""
        for layer in self.layers:
            x = layer.push(x)
        return x

    def finish(self) -> Array:
        """The outputs that waited."""
        x = self.layers[0].push(self.layers[0].zeros)
        for layer in self.layers[1:]:
            x = layer.push(np.concatenate([x, layer.zeros], 1))
        return x

    def fork(self) -> FrontStream:
        """Another that goes on from here."""
        other = copy.copy(self)
        other.layers = [copy.copy(layer) for layer in self.layers]
        return other

    def save(self) -> Kept:
        return Kept.join(**{f"front{place}": layer.save() for place, layer in enumerate(self.layers)})

    def load(self, kept: Kept) -> None:
        for place, layer in enumerate(self.layers):
            layer.load(kept.within(f"front{place}"))


class _Layer:
    """One convolution: the inputs that outputs to come will see, and how many inputs none of them sees."""

    def __init__(self, layer: Convolution, kernel: int, stride: int) -> None:
        self.layer, self.kernel, self.stride = layer, kernel, stride
        self.width, self.channels = layer.taps[0].shape
        # Before its first step a layer sees zeros, and behind its last.
        self.zeros = np.zeros((1, kernel // 2, self.width), np.float32)
        self.held = self.zeros
        self.passed = 0

    def push(self, x: Array) -> Array:
        over = min(self.passed, x.shape[1])
        self.passed -= over
        inputs = np.concatenate([self.held, x[:, over:]], 1)
        count = max(0, (inputs.shape[1] - self.kernel) // self.stride + 1)
        used = count * self.stride
        self.held, self.passed = inputs[:, used:], self.passed + max(0, used - inputs.shape[1])
        return self.layer(inputs, self.stride) if count else np.zeros((1, 0, self.channels), np.float32)

    def save(self) -> Kept:
        return Kept(held=self.held[0], passed=self.passed)

    def load(self, kept: Kept) -> None:
        most = self.kernel + self.stride
        self.held = kept.array("held", (None, self.width), most=most)[None].copy()
        self.passed = kept.count("passed", most)
