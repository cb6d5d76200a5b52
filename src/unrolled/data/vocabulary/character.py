"""Characters (Unicode code points) as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.data.vocabulary.encoder import Encoder, LowercaseEncoder

_UNKNOWN_CHARACTER = "\ufffd"


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text, `(T,)`; a lone surrogate stays what it is."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class CharVocabulary(Vocabulary):
    """One token a character; `decode(encode(text)) == text` where all its characters are known.

    An unknown character is shown as U+FFFD. With `lowercase` the text is put into lower case first.
    """

    units: ClassVar[str] = "char"

    def __init__(self, characters: Sequence[str], *, lowercase: bool = False, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self.characters = list(characters)
        self.lowercase = lowercase
        codes = code_points("".join(self.characters)).astype(np.int64)
        # A table over all code points up to the largest known one turns encoding into one gather.
        self._ids = np.full(int(codes.max(initial=0)) + 2, self.unknown, dtype=np.int64)
        self._ids[codes] = np.arange(self.first, self.first + len(codes))
        reserved = np.zeros(self.first, dtype=np.int64)
        reserved[self.unknown] = ord(_UNKNOWN_CHARACTER)
        self._codes = np.concatenate([reserved, codes])

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, text: str) -> Ids:
        text = text.lower() if self.lowercase else text
        if len(text) == 1:  # of a stream
            place = min(ord(text), len(self._ids) - 1)
            return self._ids[place : place + 1].copy()
        codes = code_points(text)
        encoded: Ids = self._ids[np.minimum(codes, len(self._ids) - 1)]
        return encoded

    def pieces(self, text: str) -> list[str]:
        return list(text.lower() if self.lowercase else text)

    def decode(self, ids: Iterable[int]) -> str:
        array = self.checked(ids)
        shown = array[(array == self.unknown) | (array >= self.first)]
        codes: Ids = self._codes[shown]
        return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def decoder(self) -> Decoder:
        return _CharDecoder(self)

    def encoder(self) -> Encoder:
        return LowercaseEncoder(self) if self.lowercase else Encoder(self)

    def token(self, index: int) -> str:
        return self.reserved(index) or self.characters[index - self.first]

    def to_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "specials": list(self.specials),
            "lowercase": self.lowercase,
            "tokens": self.characters,
        }


class _CharDecoder:
    def __init__(self, vocabulary: CharVocabulary) -> None:
        self._vocabulary = vocabulary

    def push(self, token: int) -> str:
        return self._vocabulary.decode([token])

    def flush(self) -> str:
        return ""
