"""Subwords of texts that lie on disk as bytes: learnt from a spread sample, encoded into an entry of their own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Ids
from unrolled.data.large.entry import VERSION, Entry, Growing, Mapped, open_entry
from unrolled.data.large.progress import Progress, tell
from unrolled.data.large.units import END, START
from unrolled.data.vocabulary import Vocabulary
from unrolled.data.vocabulary.build import build_vocabulary

# Pairs of so much text are as good as those of all; learning them takes memory of several times its size.
SAMPLE = 2**26
_PIECE = 2**20
_BLOCK = 2**20

Stored = tuple[Mapped, npt.NDArray[np.uint8]]


def learnt_subwords(
    stored: Stored, begins: Ids, *, size: int | None, minimum: int, specials: Sequence[str]
) -> Vocabulary:
    """The vocabulary of the documents, or of 64 pieces of 1 MB spread evenly over them where they are more."""
    end = int(begins[-1])
    if end - int(begins[0]) <= SAMPLE:
        texts = ["".join(parts) for parts in _documents(stored, begins)]
    else:
        starts = np.linspace(int(begins[0]), end - _PIECE, SAMPLE // _PIECE).astype(int).tolist()
        texts = [_text(stored, start, start + _PIECE) for start in starts]
    return build_vocabulary("subword", texts, size=size, minimum=minimum, specials=specials)


def subword_entry(
    stored: Stored, begins: Ids, vocabulary: Vocabulary, fingerprint: str, cache: Path
) -> tuple[Entry, Ids]:
    """The documents under this vocabulary, encoded now where they are not yet, and where they begin."""
    content = json.dumps([VERSION, fingerprint, vocabulary.to_json()], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    total = int(begins[-1] - begins[0])
    started = time.monotonic()

    def wait() -> None:
        tell(Progress("encoding subwords", 0, total, time.monotonic() - started, waiting=True))

    entry = open_entry(cache, key, lambda growing: _build(stored, begins, vocabulary, growing), wait)
    return entry, entry.array("begins", np.int64)[0 : len(begins)]


def _build(stored: Stored, begins: Ids, vocabulary: Vocabulary, growing: Growing) -> dict[str, Any]:
    """Document after document; a killed building goes on with the document or the piece that was next."""
    dtype = np.min_scalar_type(len(vocabulary) - 1)
    state = growing.journal() or {"document": 0, "at": int(begins[0]), "count": 0}
    document, at, count = int(state["document"]), int(state["at"]), int(state["count"])
    started = saved = told = time.monotonic()
    begun, total = at, int(begins[-1] - begins[0])
    while document < len(begins) - 1:
        if at == begins[document]:
            growing.append("begins", np.array([count], dtype=np.int64))
            growing.append("tokens", np.array([START], dtype=dtype))
            at, count = at + 1, count + 1
        end = int(begins[document + 1]) - 1
        text, at = _next(stored, at, end)
        ids = vocabulary.encode(text)
        growing.append("tokens", ids.astype(dtype))
        count += len(ids)
        if at == end:
            growing.append("tokens", np.array([END], dtype=dtype))
            at, count, document = at + 1, count + 1, document + 1
        now = time.monotonic()
        if now - saved > 5.0:
            growing.save({"document": document, "at": at, "count": count})
            saved = time.monotonic()
        if now - told > 0.2:
            seconds = (now - started) * (at - int(begins[0])) / max(1, at - begun)
            tell(Progress("encoding subwords", at - int(begins[0]), total, seconds))
            told = now
    growing.append("begins", np.array([count], dtype=np.int64))
    return {"dtype": dtype.str, "count": count}


def _documents(stored: Stored, begins: Ids) -> Iterator[Iterator[str]]:
    for begin, behind in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        yield _pieces(stored, begin + 1, behind - 1)


def _pieces(stored: Stored, at: int, end: int) -> Iterator[str]:
    while at < end:
        text, at = _next(stored, at, end)
        yield text


def _next(stored: Stored, at: int, end: int) -> tuple[str, int]:
    """Text from a place on, up to white space in front of which no subword goes on, and where the rest begins."""
    tokens, values = stored
    size = _BLOCK
    while True:
        data = values[tokens[at : min(end, at + size)]].tobytes()
        if at + len(data) == end:
            return data.decode("utf-8", "replace"), end
        place = max(data.rfind(b" "), data.rfind(b"\n"))
        while place > 0 and data[place - 1 : place].isspace():
            place -= 1
        if place > 0:
            return data[:place].decode("utf-8", "replace"), at + place
        size *= 2


def _text(stored: Stored, start: int, stop: int) -> str:
    tokens, values = stored
    data: bytes = values[tokens[start:stop]].tobytes()
    return data.replace(b"\0", b" ").decode("utf-8", "ignore")
