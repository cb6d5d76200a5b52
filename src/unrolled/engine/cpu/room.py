"""Fresh memory, in one place so that the tests can fill it with NaN."""

from __future__ import annotations

import torch
from torch import Tensor


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory with anything in it."""
    return torch.empty(*shape, dtype=dtype)
