"""Convolutions over time in front of recurrent layers, whole and part by part; see `models.front`."""

from __future__ import annotations

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.runtime.parts import Ids, relu, valid
from unrolled.runtime.weights import Array, Weights
from unrolled.streams.front import ConvolutionStream, FrontStream

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


def front_stream(front: Convolutions) -> FrontStream:
    """`Convolutions` part by part."""
    return FrontStream([_layer(layer, front.kernel, front.stride) for layer in front.layers])


def _layer(layer: Convolution, kernel: int, stride: int) -> ConvolutionStream:
    inputs, outputs = layer.taps[0].shape
    return ConvolutionStream(kernel, stride, inputs, outputs, lambda x: layer(x[None], stride)[0])
