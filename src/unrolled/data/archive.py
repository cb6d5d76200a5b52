"""Sequences from the arrays of an .npz file, of which nothing is ever executed."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Numbers
from unrolled.data.problems import listed, nearest
from unrolled.data.text import opened
from unrolled.errors import DataError

_LENGTHS = "lengths"
# A header of NumPy's is far shorter; what lies behind it is read in parts.
_HEAD, _PART = 1 << 16, 1 << 24
# What zipfile raises for damaged archives, for encrypted ones and for methods of packing that it does not know.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, RuntimeError, struct.error, OverflowError)
# NumPy reads a header as a Python literal.
_HEAD_DAMAGE = (ValueError, TypeError, SyntaxError, tokenize.TokenError, KeyError, OverflowError, RecursionError)


def read_archive(path: Path, inputs: str, targets: tuple[str, ...]) -> tuple[list[Numbers], Numbers | None]:
    """Sequences `(T_n, F)` from the array `inputs`, cut by "lengths" if there, and targets `(N, K)`. DataError."""
    wanted = (inputs, *targets)
    arrays = load_arrays(path, wanted)
    values = finite(arrays[inputs], inputs, path)
    if values.ndim not in (2, 3) or not values.size:
        raise DataError(
            f"array {inputs!r} has shape {values.shape}; give (sequences, steps) or (sequences, steps, features)", path
        )
    sequences = list(values if values.ndim == 3 else values[:, :, None])
    if _LENGTHS in arrays:
        sequences = cut(sequences, arrays[_LENGTHS], path)
    if not targets:
        return sequences, None
    columns = [finite(arrays[name], name, path) for name in targets]
    for name, column in zip(targets, columns, strict=True):
        if column.ndim not in (1, 2) or len(column) != len(sequences):
            raise DataError(
                f"array {name!r} has shape {column.shape} for {len(sequences)} sequences; give one row of it for each",
                path,
            )
    return sequences, np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)


def load_arrays(path: Path, wanted: tuple[str, ...]) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays `wanted` of an .npz file, and "lengths" if it is there; DataError names those there are."""
    try:
        with opened(path) as file:
            if not zipfile.is_zipfile(file):
                raise DataError("this is no .npz archive; write the arrays with numpy.savez", path)
            with zipfile.ZipFile(file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                for name in wanted:
                    if name not in members:
                        there = f"{listed(list(members))}{nearest(name, members)}"
                        raise DataError(f"there is no array {name!r}; the arrays are {there}", path)
                chosen = {*wanted, *({_LENGTHS} & set(members))}
                return {name: _member(archive, members[name]) for name in chosen}
    except DataError:
        raise
    except _DAMAGE as error:
        reason = str(error) if isinstance(error, NotAnArray) else "it is damaged"
        raise DataError(
            f"the arrays cannot be loaded ({reason}); write plain number arrays with numpy.savez", path
        ) from None


class NotAnArray(ValueError):
    """Why bytes are no array of numbers."""


def _member(archive: zipfile.ZipFile, name: str) -> npt.NDArray[np.generic]:
    with archive.open(name) as file:
        return read_array(file)


def read_array(file: IO[bytes]) -> npt.NDArray[np.generic]:
    """The array of an open .npy file; memory is taken for the numbers that are there, not for those promised.

    Raises NotAnArray, with the reason, for what is none, for pickled objects, and for a file that is cut short.
    """
    head = io.BytesIO(file.read(_HEAD))
    try:
        major, _ = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(head)
    except _HEAD_DAMAGE:
        raise NotAnArray("it is damaged") from None
    if dtype.hasobject:
        raise NotAnArray("it holds pickled objects")
    if dtype.itemsize == 0 or any(size < 0 for size in shape):
        raise NotAnArray("it is damaged")
    wanted = math.prod(shape) * dtype.itemsize
    data = bytearray(head.read(wanted))
    while len(data) < wanted and (part := file.read(min(_PART, wanted - len(data)))):
        data += part
    if len(data) < wanted:
        raise NotAnArray(f"it is cut short, {len(data):,} of {wanted:,} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


def finite(array: npt.NDArray[np.generic], name: str, path: Path) -> Numbers:
    """The array as float32, all of it finite."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"array {name!r} holds {array.dtype}, and numbers are needed; convert it", path)
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        place = ", ".join(str(index) for index in bad[0].tolist())
        raise DataError(f"array {name!r} is not a finite number at [{place}]; mend or leave out that sequence", path)
    return numbers


def cut(sequences: list[Numbers], lengths: npt.NDArray[np.generic], path: Path) -> list[Numbers]:
    """The sequences without what lies past their lengths (N,). Raises DataError."""
    longest = len(sequences[0])
    if lengths.shape != (len(sequences),) or lengths.dtype.kind not in "iu":
        raise DataError(
            f"array 'lengths' must be {len(sequences)} whole numbers, one for each sequence; write it so", path
        )
    whole = lengths.astype(np.int64)
    if whole.min() < 1 or whole.max() > longest:
        raise DataError(f"array 'lengths' must lie between 1 and the {longest} steps there are; mend it", path)
    return [sequence[:length] for sequence, length in zip(sequences, whole.tolist(), strict=True)]
