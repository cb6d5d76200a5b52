"""Subwords: byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), done by `tokenizers`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.data.vocabulary.byte import PieceDecoder, show_bytes, utf8
from unrolled.errors import ArgumentError, DataError, EngineError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_DEFAULT_SIZE = 8000
# A piece never goes on from something else into white space, though it may begin with one.
_SETTLED = re.compile(r"\S(?=[ \t\n\r])")


class SubwordVocabulary(Vocabulary):
    """One token a frequent piece of text; every byte is one too, so that `decode(encode(text)) == text` always.

    The tokenizer's own ids begin at 0; ours are `first` higher, and the tokenizer knows no special tokens, so a text
    that spells "<pad>" is only text.
    """

    units: ClassVar[str] = "subword"

    def __init__(self, tokenizer: Tokenizer, *, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self._tokenizer = tokenizer
        spelled = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        byte_of = {character: byte for byte, character in enumerate(_byte_alphabet())}
        self._pieces = [b""] * self.first + [bytes([byte_of[letter] for letter in token]) for token, _ in spelled]

    def __len__(self) -> int:
        return len(self._pieces)

    def encode(self, text: str) -> Ids:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Iterable[str]) -> list[Ids]:
        whole = list(texts)
        for text in whole:
            utf8(text)
        encodings = self._tokenizer.encode_batch_fast(whole, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) + self.first for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join([self._pieces[index] for index in self.checked(ids).tolist()]).decode("utf-8", "replace")

    def decoder(self) -> Decoder:
        return PieceDecoder(self, self._pieces)

    def settled(self, text: str) -> int:
        utf8(text)
        return max((match.end() for match in _SETTLED.finditer(text)), default=0)

    def token(self, index: int) -> str:
        return self.reserved(index) or show_bytes(self._pieces[index])

    def to_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "specials": list(self.specials),
            "tokenizer": json.loads(self._tokenizer.to_str()),
        }


def train_subwords(texts: Sequence[str], size: int | None, minimum: int, specials: Sequence[str]) -> SubwordVocabulary:
    """Learn at most `size` tokens (8000 without one), the 256 bytes and the reserved ids counted."""
    tokenizers = _library()
    for text in texts:
        utf8(text)
    room = (size or _DEFAULT_SIZE) - 2 - len(specials)
    if room < 256:
        raise ArgumentError(f"a subword vocabulary of {size} tokens has no room for the 256 bytes; give at least 300")
    tokenizer = _untrained()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=room,
        # A pair seen once teaches nothing about the next text.
        min_frequency=max(2, minimum),
        initial_alphabet=_byte_alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return SubwordVocabulary(tokenizer, specials=specials)


def load_tokenizer(description: object) -> Tokenizer:
    """A tokenizer from its plain JSON; DataError unless it is byte-level BPE with ids 0..n-1 and all bytes in it."""
    library = _library()
    try:
        tokenizer: Tokenizer = library.Tokenizer.from_str(json.dumps(description))
    # The library raises Exception, and nothing narrower, for JSON that it cannot use.
    except Exception as error:
        raise _damaged("it cannot be read") from error
    vocabulary = tokenizer.get_vocab()
    alphabet = set(_byte_alphabet())
    # First, because what comes next takes a moment for each id up to the largest.
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise _damaged("its ids have gaps")
    if _settings(tokenizer) != _settings(_untrained()):
        raise _damaged("it is not plain byte-level BPE")
    if not alphabet <= vocabulary.keys() or not all(alphabet.issuperset(token) for token in vocabulary):
        raise _damaged("its tokens are not made of the 256 bytes")
    return tokenizer


def _untrained() -> Tokenizer:
    tokenizers = _library()
    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _settings(tokenizer: Tokenizer) -> Any:
    """All that a tokenizer's JSON says apart from what it has learnt."""
    content = json.loads(tokenizer.to_str())
    content["model"].update(vocab=None, merges=None)
    return content


def _damaged(why: str) -> DataError:
    return DataError(f"the subword tokenizer is damaged ({why}); train it again or restore the file")


def _byte_alphabet() -> list[str]:
    """The printable character that byte-level BPE writes for each byte: itself where printable, else from U+0100 up."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        # No DataError: a run that is read without the library is not damaged.
        raise EngineError(
            "subwords need tokenizers, which is not installed; run \"pip install 'unrolled[text]'\""
        ) from None
    return tokenizers
