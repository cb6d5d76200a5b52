"""Names for the array types that the readers and batchers hand out."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.float32]
Exact: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


def interpolated(values: Numbers, places: npt.NDArray[np.floating], axis: int) -> Numbers:
    """Values between the rows or columns, by lines; beyond the edges as at them."""
    last = values.shape[axis] - 1
    places = np.clip(places, 0, last)
    below = np.floor(places).astype(np.int64)
    part = (places - below).astype(np.float32)
    part = part[:, None] if axis == 0 else part
    above = np.minimum(below + 1, last)
    found: Numbers = values.take(below, axis) * (1 - part) + values.take(above, axis) * part
    return found
