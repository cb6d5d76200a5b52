"""Bytes of UTF-8 as tokens: nothing is ever unknown; and ids that stand for bytes, back to text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.errors import ArgumentError


class ByteVocabulary(Vocabulary):
    """One token a byte of the text's UTF-8; `decode(encode(text)) == text` always.

    Bytes that are not UTF-8, as a model may produce them, are shown as U+FFFD.
    """

    units: ClassVar[str] = "byte"

    def __init__(self, *, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self._pieces = [b""] * self.first + [bytes([value]) for value in range(256)]

    def __len__(self) -> int:
        return len(self._pieces)

    def encode(self, text: str) -> Ids:
        return np.frombuffer(utf8(text), dtype=np.uint8).astype(np.int64) + self.first

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join([self._pieces[index] for index in self.checked(ids).tolist()]).decode("utf-8", "replace")

    def decoder(self) -> Decoder:
        return PieceDecoder(self, self._pieces)

    def token(self, index: int) -> str:
        return self.reserved(index) or show_bytes(self._pieces[index])

    def to_json(self) -> dict[str, Any]:
        return {"units": self.units, "specials": list(self.specials)}


class PieceDecoder:
    """Incremental decoder for ids that each stand for some bytes; a character cut between ids waits for its end."""

    def __init__(self, vocabulary: Vocabulary, pieces: Sequence[bytes]) -> None:
        self._vocabulary = vocabulary
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return self._utf8.decode(self._pieces[int(self._vocabulary.checked([token])[0])])

    def flush(self) -> str:
        return self._utf8.decode(b"", True)


def utf8(text: str) -> bytes:
    """The text in UTF-8; ArgumentError for half of a surrogate pair, which UTF-8 cannot hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"character {error.start + 1} of the text is half of a surrogate pair, and whole characters are needed; "
            "take it out"
        ) from None


def show_bytes(piece: bytes) -> str:
    r"""Bytes for a person: the text where they are text, `\x..` where they are a part of a character."""
    return piece.decode("utf-8", "backslashreplace")
