"""Numbers made safe against levels that were never seen in training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError


class Drift(nn.Module):
    """tanh(x + a): x (B, T, F) of mean 0 and deviation 1; a_f ~ N(0, d_f^2) while training, one for all steps.

    Sensors drift, seasons change and persons sit elsewhere: a network that met its sequences at shifted levels leans on
    what happens in them, and tanh keeps a level far outside the training data from carrying it anywhere. `deviations`
    are d of the first features; those after them are not shifted. Raises ArgumentError for a negative one.
    """

    def __init__(self, deviations: Sequence[float]) -> None:
        super().__init__()
        if wrong := [d for d in deviations if not 0 <= d < math.inf]:
            raise ArgumentError(f"drift={wrong[0]} is no standard deviation; give a number from 0")
        self.deviations = tuple(deviations)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return torch.tanh(x)
        shift = x.new_zeros(x.shape[0], 1, x.shape[2])
        d = x.new_tensor(self.deviations)
        shift[:, 0, : len(d)] = d * torch.randn(x.shape[0], len(d), device=x.device, dtype=x.dtype)
        return torch.tanh(x + shift)

    def extra_repr(self) -> str:
        return ", ".join(f"{d:.2g}" for d in self.deviations)
