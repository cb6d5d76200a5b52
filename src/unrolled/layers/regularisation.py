"""What keeps a recurrent layer from learning its data by heart."""

from __future__ import annotations

from torch import Tensor

from unrolled.cell.regularisation import Regularisation, check_rate, regularised
from unrolled.layers.drawn import kept

__all__ = ["Regularisation", "check_rate", "drop", "regularised"]


def drop(x: Tensor, rate: float, *, training: bool, variational: bool = False) -> Tensor:
    """Zero features of x (B, T, F) at `rate`, scale the rest by 1 / (1 - rate); variational: one mask for all steps."""
    if not training or rate == 0:
        return x
    shape = (x.shape[0], 1, x.shape[2]) if variational else x.shape
    return x * kept(shape, rate, x)
