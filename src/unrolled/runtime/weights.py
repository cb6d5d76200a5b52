"""The numbers of a run as NumPy arrays, each asked for by name and shape, so that none is missing or left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from unrolled.tasks.folder import WEIGHTS, damaged_weights, strange_weight

Array = npt.NDArray[np.float32]


def read_weights(run: Path) -> dict[str, npt.NDArray[Any]]:
    """weights.safetensors of a run; raises RunError where it is missing or cut short."""
    try:
        return load_file(run / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged_weights(run, error) from None


class Weights:
    """A run's arrays under a prefix; `run` says where they are from."""

    def __init__(
        self, arrays: Mapping[str, npt.NDArray[Any]], run: str, prefix: str = "", taken: set[str] | None = None
    ) -> None:
        self.arrays, self._run, self._prefix = arrays, run, prefix
        self._taken: set[str] = set() if taken is None else taken

    def under(self, name: str) -> Weights:
        """The arrays of a part of the network."""
        return Weights(self.arrays, self._run, f"{self._prefix}{name}.", self._taken)

    def take(self, name: str, *shape: int) -> Array:
        """An array in float32, contiguous; raises RunError where it is missing or of another shape."""
        name = self._prefix + name
        found = self.arrays.get(name)
        if found is None or found.shape != shape:
            raise strange_weight(self._run, name, "missing" if found is None else found.shape, shape)
        self._taken.add(name)
        return np.ascontiguousarray(found, dtype=np.float32)

    def skip(self, name: str) -> None:
        """An array that answers do not need, such as a counter of training steps."""
        self._taken.add(self._prefix + name)

    def check_all_taken(self) -> None:
        """RunError where an array is left that the network has no use for."""
        for name in sorted(set(self.arrays) - self._taken):
            raise strange_weight(self._run, name, self.arrays[name].shape, "not used")
