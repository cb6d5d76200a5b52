"""Pictures and frames to vectors: the convolutional networks of `models.ImageEncoder` and `models.FrameEncoder`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from unrolled.runtime.parts import Linear, relu
from unrolled.runtime.weights import Array, Weights

_GROUPS = 8
_EPSILON = 1e-5
_SQUEEZED = 16
_FRAME_CHANNELS = (16, 32, 64, 64)


class ImageEncoder:
    """Pictures (B, H, W, 3) in [0, 1] -> a vector for each region, (B, R, C), rows of the picture first."""

    def __init__(self, channels: Sequence[int], blocks: int, weights: Weights, *, around: int = 1) -> None:
        self.stages = [
            _Stage(a, b, blocks, weights.under(f"stages.{place}"))
            for place, (a, b) in enumerate(pairwise((3, *channels)))
        ]
        self.output_size = channels[-1]
        self.around = around
        self.place = weights.take("place.weight", self.output_size, self.output_size + 2, 1, 1)[:, :, 0, 0]
        self.offset = weights.take("place.bias", self.output_size)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of regions of a picture of this size."""
        factor = 2 ** len(self.stages)
        return -(-height // factor), -(-width // factor)

    def __call__(self, images: Array) -> Array:
        found = 2 * images - 1
        for stage in self.stages:
            found = stage(found)
        found = _largest_around(found, self.around)
        rows, height, width, _ = found.shape
        sides = [((2 * np.arange(n) + 1) / n - 1).astype(np.float32) for n in (height, width)]
        places = np.stack(np.meshgrid(*sides, indexing="ij"), 2)
        whole = np.concatenate((found, np.broadcast_to(places, (rows, height, width, 2))), 3)
        return (whole @ self.place.T + self.offset).reshape(rows, height * width, -1)


def _largest_around(x: Array, side: int) -> Array:
    """(B, H, W, C): of each channel the largest value in the `side` x `side` regions around each."""
    edge = side // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), constant_values=-np.inf)
    found: Array = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2)).max((4, 5))
    return found


class FrameEncoder:
    """Frames (B, T, 3, H, W) of bytes, all H = W = `size` -> (B, T, E)."""

    def __init__(self, size: int, output_size: int, weights: Weights) -> None:
        self.images = ImageEncoder(_FRAME_CHANNELS, 0, weights.under("images"))
        rows, columns = self.images.grid(size, size)
        self.squeeze = Linear(self.images.output_size, _SQUEEZED, weights.under("squeeze"))
        self.join = Linear(rows * columns * _SQUEEZED, output_size, weights.under("join"))

    def __call__(self, frames: npt.NDArray[np.uint8]) -> Array:
        batch, steps = frames.shape[:2]
        flat = frames.reshape(batch * steps, *frames.shape[2:]).transpose(0, 2, 3, 1)
        regions = self.images(flat.astype(np.float32) / np.float32(255))
        squeezed = relu(self.squeeze(relu(regions)))
        return relu(self.join(squeezed.reshape(batch * steps, -1))).reshape(batch, steps, -1)


class _Stage:
    """A convolution with stride 2, then residual ones."""

    def __init__(self, inputs: int, outputs: int, blocks: int, weights: Weights) -> None:
        self.halve = _Convolution(inputs, outputs, 2, weights.under("halve"))
        self.blocks = [_Convolution(outputs, outputs, 1, weights.under(f"blocks.{k}")) for k in range(blocks)]

    def __call__(self, x: Array) -> Array:
        x = self.halve(x)
        for block in self.blocks:
            x = x + block(x)
        return x


class _Convolution:
    """relu(group norm(3 x 3 convolution)), channels last."""

    def __init__(self, inputs: int, outputs: int, stride: int, weights: Weights) -> None:
        taps = weights.take("0.weight", outputs, inputs, 3, 3)
        self.taps = [(i, j, np.ascontiguousarray(taps[:, :, i, j].T)) for i in range(3) for j in range(3)]
        self.stride = stride
        self.gain, self.offset = weights.take("1.weight", outputs), weights.take("1.bias", outputs)

    def __call__(self, x: Array) -> Array:
        rows, height, width, _ = x.shape
        s, high, wide = self.stride, -(-height // self.stride), -(-width // self.stride)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        found = sum(
            padded[:, i : i + s * high : s, j : j + s * wide : s][:, :high, :wide] @ tap for i, j, tap in self.taps
        )
        groups = np.reshape(found, (rows, high * wide, _GROUPS, -1))
        mean = groups.mean((1, 3), keepdims=True)
        deviation = np.sqrt(groups.var((1, 3), keepdims=True) + np.float32(_EPSILON))
        return relu(((groups - mean) / deviation).reshape(rows, high, wide, -1) * self.gain + self.offset)
