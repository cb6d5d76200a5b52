"""A vector for each frame of a film."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.models.image import ImageEncoder

_SQUEEZED = 16


class FrameEncoder(nn.Module):
    """Frames (B, T, 3, H, W) of bytes, all H = W = `size` -> (B, T, E): what is seen in every region, and where.

    Each region of the `ImageEncoder` is squeezed to a few numbers, and these together make the vector. A mean over the
    regions would not say where something is, which is what events in a film are mostly about.
    """

    def __init__(self, size: int, output_size: int, channels: tuple[int, ...] = (16, 32, 64, 64)) -> None:
        super().__init__()
        self.size = size
        self.output_size = output_size
        self.images = ImageEncoder(channels, blocks=0)
        rows, columns = self.images.grid(size, size)
        self.squeeze = nn.Linear(self.images.output_size, _SQUEEZED)
        self.join = nn.Linear(rows * columns * _SQUEEZED, output_size)

    def forward(self, frames: Tensor) -> Tensor:
        batch, steps = frames.shape[:2]
        regions = self.images(frames.flatten(0, 1).to(self.join.weight.dtype) / 255)
        squeezed = functional.relu(self.squeeze(functional.relu(regions)))
        vectors: Tensor = torch.relu(self.join(squeezed.flatten(1)))
        return vectors.view(batch, steps, self.output_size)
