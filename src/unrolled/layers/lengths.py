"""True lengths of the rows of a padded batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unrolled.errors import ArgumentError


def as_lengths(lengths: Tensor | Sequence[int] | None, batch: int, steps: int, device: torch.device) -> Tensor:
    """Lengths as an int64 tensor (B,) on `device`; None means that all rows are full.

    Raises ArgumentError if there is not one whole number from 0 to `steps` for each row.
    """
    if lengths is None:
        return torch.full((batch,), steps, device=device)
    given = torch.as_tensor(lengths)
    if given.shape != (batch,) or given.is_floating_point() or given.dtype == torch.bool:
        raise ArgumentError(
            f"lengths of shape {tuple(given.shape)} and {given.dtype} came with a batch of {batch} rows; "
            f"give one whole number a row, shape ({batch},)."
        )
    # a tracer has no numbers to look at; the traced operation checks them when it runs
    look = batch and not torch.compiler.is_compiling()
    low, high = (int(given.min()), int(given.max())) if look else (0, 0)
    if low < 0 or high > steps:
        raise ArgumentError(
            f"lengths go from {low} to {high}, but the batch has {steps} steps; give numbers from 0 to {steps}."
        )
    return given.to(device=device, dtype=torch.int64)


def valid(lengths: Tensor, steps: int) -> Tensor:
    """True where a step lies within its row's length, (B, T)."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]
