"""The numbers of a run as NumPy arrays, each asked for by name and shape, so that none is missing or left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file

from unrolled.tasks.folder import WEIGHTS, damaged_weights, strange_weight

Array = npt.NDArray[np.float32]
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def read_weights(run: Path) -> dict[str, npt.NDArray[Any]]:
    """weights.safetensors of a run; raises RunError where it is missing or cut short."""
    try:
        return load_file(run / WEIGHTS)
    except TypeError:  # NumPy has no bfloat16
        return _widened((run / WEIGHTS).read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged_weights(run, error) from None


def _widened(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Arrays of which some are in bfloat16, whose 16 bits are the upper ones of float32."""
    found = deserialize(content)  # type: ignore[no-untyped-call]  # safetensors does not type it
    arrays = {}
    for name, entry in found:
        if entry["dtype"] == "BF16":
            wide = np.frombuffer(entry["data"], "<u2").astype(np.uint32) << 16
            arrays[name] = wide.view(np.float32).reshape(entry["shape"])
        else:
            arrays[name] = np.frombuffer(entry["data"], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


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
