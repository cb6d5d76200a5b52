"""Numbers made safe against levels that were never seen in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError


class Drift(nn.Module):
    """tanh(x + a): x (B, T, F) of mean 0 and deviation 1; a ~ N(0, drift^2) while training, one for all steps.

    Sensors drift, seasons change and persons sit elsewhere: a network that met its sequences at shifted levels leans on
    what happens in them, and tanh keeps a level far outside the training data from carrying it anywhere. The last
    `exempt` features are left as they are. Raises ArgumentError for a negative drift.
    """

    def __init__(self, drift: float, exempt: int = 0) -> None:
        super().__init__()
        if drift < 0:
            raise ArgumentError(f"drift is {drift}, but it is a standard deviation; give a number from 0")
        self.drift = drift
        self.exempt = exempt

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.drift:
            return torch.tanh(x)
        shift = self.drift * torch.randn(x.shape[0], 1, x.shape[2], device=x.device, dtype=x.dtype)
        shift[:, :, x.shape[2] - self.exempt :] = 0
        return torch.tanh(x + shift)

    def extra_repr(self) -> str:
        return f"drift={self.drift}"
