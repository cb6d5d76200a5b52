"""The two vocabularies of a translation as one: what it reads and what it writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.data.vocabulary.encoder import Encoder
from unrolled.errors import ArgumentError


class PairVocabulary(Vocabulary):
    """`encode` reads the source's units, `decode` writes the target's; a joint vocabulary is both.

    Its ids, length and tokens are those of the source. Raises ArgumentError where the special tokens differ.
    """

    units: ClassVar[str] = "pair"

    def __init__(self, source: Vocabulary, target: Vocabulary | None = None) -> None:
        super().__init__(source.specials)
        self.source = source
        self.target = source if target is None else target
        if self.source.specials != self.target.specials:
            raise ArgumentError("the two vocabularies of a pair have different special tokens; give both the same")

    @property
    def joint(self) -> bool:
        """Whether both languages share one."""
        return self.source is self.target

    def __len__(self) -> int:
        return len(self.source)

    def encode(self, text: str) -> Ids:
        return self.source.encode(text)

    def encode_all(self, texts: Iterable[str]) -> list[Ids]:
        return self.source.encode_all(texts)

    def pieces(self, text: str) -> list[str]:
        return self.source.pieces(text)

    def decode(self, ids: Iterable[int]) -> str:
        return self.target.decode(ids)

    def decoder(self) -> Decoder:
        return self.target.decoder()

    def encoder(self) -> Encoder:
        return self.source.encoder()

    def token(self, index: int) -> str:
        return self.source.token(index)

    def to_json(self) -> dict[str, Any]:
        target = None if self.joint else self.target.to_json()
        return {"units": self.units, "source": self.source.to_json(), "target": target}
