"""A convolutional network that turns a picture into vectors, small enough to train from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import ArgumentError

_GROUPS = 8


class ImageEncoder(nn.Module):
    """Pictures (B, 3, H, W) in [0, 1] -> a vector for each region, (B, R, C), rows of the picture first.

    Each of `channels` is a stage: a 3 x 3 convolution with stride 2, then `blocks` residual ones (He et al. 2016), all
    with group normalisation (Wu and He 2018), so that a picture's answer does not depend on its batch. Every region
    then takes the largest value of each channel among the `around` x `around` regions of which it is the middle (an odd
    number), so that what covers several is seen whole from one, and learns where it lies from its coordinates in
    [-1, 1] (Liu et al. 2018). R is H / 2^stages x W / 2^stages, rounded up, and C is `output_size`. H and W may differ
    from call to call.

    Raises ArgumentError for channels that are no multiples of 8, an even `around`, and inputs of another shape or type.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128), blocks: int = 1, *, around: int = 1) -> None:
        super().__init__()
        if not channels or any(width < 1 or width % _GROUPS for width in channels) or blocks < 0:
            raise ArgumentError(
                f"channels={tuple(channels)} with blocks={blocks} make no encoder; "
                f"give multiples of {_GROUPS} and 0 blocks or more"
            )
        if around < 1 or around % 2 == 0:
            raise ArgumentError(f"around={around} has no region in its middle; give an odd number")
        self.output_size = channels[-1]
        self.around = around
        self.stages = nn.ModuleList(_Stage(a, b, blocks) for a, b in pairwise((3, *channels)))
        self.place = nn.Conv2d(self.output_size + 2, self.output_size, 1)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of regions of a picture of this size; their product is R."""
        factor = 2 ** len(self.stages)
        return -(-height // factor), -(-width // factor)

    def forward(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point() or 0 in images.shape[2:]:
            raise ArgumentError(
                f"images are {tuple(images.shape)} of {images.dtype}, but the encoder needs (B, 3, H, W) of floats "
                "from 0 to 1; convert bytes by images / 255"
            )
        # Convolutions of few channels are faster with the channels last.
        found = (2 * images - 1).contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            found = stage(found)
        if self.around > 1:
            found = functional.max_pool2d(found, self.around, 1, self.around // 2)
        placed: Tensor = self.place(torch.cat((found, _coordinates(found)), 1))
        return placed.flatten(2).transpose(1, 2)

    def pooled(self, images: Tensor) -> Tensor:
        """One vector a picture, (B, C): the mean of its regions."""
        vectors: Tensor = self(images).mean(1)
        return vectors


class _Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.halve = _convolution(inputs, outputs, stride=2)
        self.blocks = nn.ModuleList(_convolution(outputs, outputs) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.halve(x)
        for block in self.blocks:
            x = x + block(x)
        return x


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    # The normalisation has an offset of its own.
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(_GROUPS, outputs), nn.ReLU())


def _coordinates(features: Tensor) -> Tensor:
    """Vertical and horizontal place of each region, (B, 2, h, w); 0 is the middle."""
    batch, _, height, width = features.shape
    sides = [(2 * torch.arange(n, device=features.device) + 1) / n - 1 for n in (height, width)]
    return torch.stack(torch.meshgrid(*sides, indexing="ij")).to(features.dtype).expand(batch, 2, height, width)
