"""Parts of a stream: what a client sends as JSON or bytes, and what it is shown of the state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.serve import intake
from unrolled.serve.intake import too_long
from unrolled.serve.messages import as_object, kind_of
from unrolled.serve.model import Served
from unrolled.serve.refusal import Refusal

# A page shows so many numbers of a state at most.
_MOST_SHOWN = 4096
_DTYPES = {"F32": "<f4", "F64": "<f8"}


def part_of(served: Served, value: Any, most: int) -> Any:
    """A part as the stream takes it (docs/streaming.md), checked. Raises Refusal (422)."""
    kind, told = served.intake.kind, served.intake.told
    if isinstance(value, bytes):
        return _of_bytes(kind, told, value, most)
    if kind in ("text", "dna") or (kind == "words" and isinstance(value, str)):
        return _sized(intake.text(value, "the part").value, most)
    if kind == "sound":
        return _sized(intake.numbers(value, "the part"), most, rate=told["rate"])
    if kind == "history":
        return _observations(told, value, most)
    if kind == "strokes":
        return _sized(intake.rows(3)(value, "the part").value, most)
    if served.intake.parse is None:
        raise Refusal(422, f"A part is {kind_of(value)}, and this model reads {kind} as bytes; send a binary message.")
    width = told.get("width", 1)
    if width > 1 and isinstance(value, list) and value and not any(isinstance(cell, list | dict) for cell in value):
        value = [value]  # a single row
    return _sized(served.intake.parse(value, "the part").value, most)


def _observations(told: dict[str, Any], value: Any, most: int) -> Any:
    """Rows of a series; where some columns are known ahead, also an object with these of the steps after the rows."""
    names = [*told["targets"], *told["past"], *told["known"]]
    if not told["known"] or not isinstance(value, dict):
        return _sized(_named_rows(value, names, "the part"), most)
    given = as_object(value, ("rows", "ahead"), ("rows",))
    found = {"rows": _sized(_named_rows(given["rows"], names, "rows"), most)}
    if given.get("ahead") is not None:
        found["ahead"] = _sized(_named_rows(given["ahead"], told["known"], "ahead"), most)
    return found


def _named_rows(value: Any, names: Sequence[str], what: str) -> Numbers:
    """Rows as lists of numbers or as objects with these names; null where a number is not known."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        value = [[row.get(name) for name in names] for row in value]
    found: Numbers = intake.rows(len(names), missing=True)(value, what).value
    return found


def _of_bytes(kind: str, told: dict[str, Any], data: bytes, most: int) -> Any:
    """Samples of sound of 16 bits, or frames of a film of red, green and blue."""
    if kind == "sound":
        return _sized(pcm(data), most, rate=told["rate"])
    if kind != "film":
        raise Refusal(422, f"Bytes are samples of sound or frames of a film, and this model reads {kind}; send JSON.")
    size = told["size"]
    if len(data) % (3 * size * size):
        raise Refusal(422, f"The bytes are no whole frames of {size} x {size} x 3; send whole ones.")
    return _sized(np.frombuffer(data, np.uint8).reshape(-1, size, size, 3), most)


def _sized(part: Any, most: int, rate: int | None = None) -> Any:
    steps = len(part) if rate is None else len(part) * 100 / rate
    if steps > most:
        raise too_long(steps, most)
    return part


def pcm(data: bytes) -> Numbers:
    """Samples from -1 to 1 of 16 bits, little endian, one channel. Raises Refusal (422)."""
    if len(data) % 2:
        raise Refusal(422, "The bytes are no samples of 16 bits, because they are odd in number; send whole samples.")
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def look_into(state: bytes) -> dict[str, Any]:
    """The tensors of a state in safetensors form, by name, those that are small enough to be looked at."""
    size = int.from_bytes(state[:8], "little")
    header, body = json.loads(state[8 : 8 + size]), memoryview(state)[8 + size :]
    found: dict[str, Any] = {}
    left = _MOST_SHOWN
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in _DTYPES:
            continue
        begin, end = entry["data_offsets"]
        values = np.frombuffer(body[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        if values.size <= left:
            left -= values.size
            found[name] = np.round(values.astype(np.float64), 4).tolist()
    return found
