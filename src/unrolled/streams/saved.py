"""The state of a stream as bytes: safetensors with a JSON header. Nothing that is read back is executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from unrolled.errors import ArgumentError

FORMAT = 1
_HEADER = "stream"
# A header holds counters and held-back text; more is no state of ours.
_LONGEST_HEADER = 32 * 2**20

T = TypeVar("T")


def damaged(why: str) -> ArgumentError:
    """The error for a state that cannot be used."""
    return ArgumentError(f"the state of the stream is damaged ({why}); save it again, or begin a new stream")


class Kept:
    """What one part of a stream remembers, by name; what comes out of a saved state is checked when it is asked for."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def array(
        self, name: str, shape: tuple[int | None, ...], dtype: npt.DTypeLike = np.float32, *, most: int = 2**20
    ) -> npt.NDArray[Any]:
        """An array of this type and shape, where None stands for any size up to `most`; raises ArgumentError."""
        found = self.values.get(name)
        if not isinstance(found, np.ndarray) or found.dtype != dtype or found.ndim != len(shape):
            raise damaged(f"{name} is not an array of {len(shape)} axes of {np.dtype(dtype)}")
        for size, wanted in zip(found.shape, shape, strict=True):
            if size != wanted and (wanted is not None or size > most):
                raise damaged(f"{name} has the shape {found.shape}")
        return found

    def finite(
        self, name: str, shape: tuple[int | None, ...], dtype: npt.DTypeLike = np.float32, *, most: int = 2**20
    ) -> npt.NDArray[Any]:
        """The same without infinity and NaN; raises ArgumentError."""
        found = self.array(name, shape, dtype, most=most)
        if not np.isfinite(found).all():
            raise damaged(f"{name} is not finite")
        return found

    def value(self, name: str, kind: type[T]) -> T:
        """A value of this type; raises ArgumentError."""
        found = self.values.get(name)
        if type(found) is int and kind is float:
            found = float(found)
        if type(found) is not kind:
            raise damaged(f"{name} is no {kind.__name__}")
        return found

    def count(self, name: str, most: int = 2**62) -> int:
        """A whole number from 0 to `most`; raises ArgumentError."""
        found = self.value(name, int)
        if not 0 <= found <= most:
            raise damaged(f"{name} is {found}")
        return found

    def within(self, name: str) -> Kept:
        """What a part of the part remembers."""
        start = f"{name}."
        return Kept(**{key.removeprefix(start): value for key, value in self.values.items() if key.startswith(start)})

    @classmethod
    def join(cls, **parts: Kept) -> Kept:
        """The parts under their names; `within` takes them apart."""
        return cls(**{f"{name}.{key}": value for name, part in parts.items() for key, value in part.values.items()})


def pack(header: Mapping[str, Any], kept: Kept) -> bytes:
    """A header of plain JSON and what the parts remember, as safetensors bytes."""
    arrays = {name: np.ascontiguousarray(v) for name, v in kept.values.items() if isinstance(v, np.ndarray)}
    plain = {name: value for name, value in kept.values.items() if name not in arrays}
    text = json.dumps({"format": FORMAT, **header, "kept": plain}, allow_nan=False)
    return save(arrays, {_HEADER: text})


def unpack(data: bytes) -> tuple[dict[str, Any], Kept]:
    """What `pack` was given; raises ArgumentError for anything else."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ArgumentError(f"a state is bytes, and {type(data).__name__} was given; give what stream.state() returned")
    data = bytes(data)
    try:
        arrays = load(data)
        size = int.from_bytes(data[:8], "little")
        if size > _LONGEST_HEADER:
            raise damaged("its header is too long")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_HEADER])
        plain = header.pop("kept")
        found = Kept(**plain, **arrays)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise damaged("it is cut short, or none of ours") from None
    if header.get("format") != FORMAT:
        raise ArgumentError(
            f"the state has the format {header.get('format')!r} and this version reads {FORMAT}; begin a new stream"
        )
    return header, found


def fingerprint(task: str, vocabulary: Mapping[str, Any] | None, weights: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of what makes a run the run it is: its task, its units and every weight."""
    found = hashlib.sha256()
    found.update(json.dumps([task, vocabulary], sort_keys=True).encode())
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()
