"""Units of text as numbers in the order of their first appearance, for texts whose vocabulary is not known yet.

0 stands at the beginning of a document, 1 at its end, 2 for what there is no more room for; then come the units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary import CharVocabulary, SymbolVocabulary, Vocabulary, WordVocabulary, split_symbols
from unrolled.data.vocabulary.byte import utf8
from unrolled.data.vocabulary.character import code_points
from unrolled.data.vocabulary.word import split_words

START, END, OTHER, FIRST = 0, 1, 2, 3
# So many different words are told apart, which bounds the memory; those that appear later are one unknown word.
MOST_WORDS = 2**22
_REMEMBERED = 2**20

Codes = npt.NDArray[np.integer[Any]]


class Coder(ABC):
    """Turns texts into numbers and learns new units as it meets them."""

    gap = "any"
    """Where a long text may be cut: see `Cut`."""

    @abstractmethod
    def __len__(self) -> int:
        """Numbers in use, the first three counted."""

    @abstractmethod
    def code(self, texts: Sequence[str]) -> tuple[Codes, Ids]:
        """The numbers of all texts end to end, and how many each text has."""

    @abstractmethod
    def tokens(self) -> list[str]:
        """The unit of each number from the fourth on."""

    @abstractmethod
    def load(self, tokens: Sequence[str]) -> None:
        """Go on from what `tokens` said."""


class TableCoder(Coder):
    """Characters or bytes: all values of an array are looked up at once."""

    def __init__(self, values: Callable[[str], Codes], room: int, *, lowercase: bool = False) -> None:
        self._values = values
        self._table = np.zeros(room, dtype=np.uint8)
        self._known: list[int] = []
        self._lowercase = lowercase
        self.gap = " " if lowercase else "any"

    def __len__(self) -> int:
        return FIRST + len(self._known)

    def code(self, texts: Sequence[str]) -> tuple[Codes, Ids]:
        if self._lowercase:
            texts = [text.lower() for text in texts]
        values = self._values(texts[0] if len(texts) == 1 else "".join(texts))
        codes = self._table.take(values)
        if len(codes) and not codes.min():
            self._learn(np.unique(values[codes == 0]))
            codes = self._table.take(values)
        sizes = [len(values)] if len(texts) == 1 else [len(self._values(text)) for text in texts]
        return codes, np.array(sizes, dtype=np.int64)

    def _learn(self, values: Codes) -> None:
        self._known += values.tolist()
        needed = np.min_scalar_type(len(self))
        if needed.itemsize > self._table.itemsize:
            self._table = self._table.astype(needed)
        self._table[values] = np.arange(len(self) - len(values), len(self))

    def tokens(self) -> list[str]:
        return [chr(value) for value in self._known]

    def load(self, tokens: Sequence[str]) -> None:
        if tokens:
            self._learn(np.array([ord(token) for token in tokens]))


class DictionaryCoder(Coder):
    """Words or symbols: each is looked up by its text."""

    def __init__(self, split: Callable[[str], list[str]], *, gap: str, lowercase: bool = False) -> None:
        self._numbers = _Numbers()
        self._parts = _Parts(split, self._numbers)
        self._lowercase = lowercase
        self.gap = gap

    def __len__(self) -> int:
        return FIRST + len(self._numbers)

    def code(self, texts: Sequence[str]) -> tuple[Codes, Ids]:
        if self._lowercase:
            texts = [text.lower() for text in texts]
        found = [np.fromiter(self._parts.numbers(text), dtype=np.int64) for text in texts]
        return np.concatenate(found), np.array([len(part) for part in found], dtype=np.int64)

    def tokens(self) -> list[str]:
        return list(self._numbers)

    def load(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            _ = self._numbers[token]


class _Parts(dict[str, tuple[int, ...]]):
    """The numbers of what stands between white space, which no unit crosses; the commonest are found at once."""

    def __init__(self, split: Callable[[str], list[str]], numbers: _Numbers) -> None:
        super().__init__()
        self._split = split
        self._numbers = numbers

    def numbers(self, text: str) -> Iterator[int]:
        if self._split is split_symbols:
            return map(self._numbers.__getitem__, split_symbols(text))
        if len(self) > _REMEMBERED:
            self.clear()
        # A line break is a token too; the sign for it occurs in no text.
        return chain.from_iterable(map(self.__getitem__, text.replace("\n", " \0 ").split()))

    def __missing__(self, part: str) -> tuple[int, ...]:
        units = self._split("\n" if part == "\0" else part)
        found = tuple([self._numbers[unit] for unit in units])
        self[part] = found
        return found


class _Numbers(dict[str, int]):
    def __missing__(self, unit: str) -> int:
        number = FIRST + len(self)
        if number >= MOST_WORDS:
            return OTHER
        self[unit] = number
        return number


def coder_for(units: str, *, lowercase: bool = False, tabs: bool = False) -> Coder:
    """The coder of these units; `tabs`: symbols stand between tabs. Subwords are made from bytes."""
    if units == "char":
        return TableCoder(_characters, 0x110000, lowercase=lowercase)
    if units in ("byte", "subword"):
        return TableCoder(_bytes, 256)
    if units == "symbol":
        return DictionaryCoder(split_symbols, gap="\t" if tabs else " ")
    return DictionaryCoder(split_words, gap=" ", lowercase=lowercase)


def _characters(text: str) -> Codes:
    return np.frombuffer(text.encode("ascii"), dtype=np.uint8) if text.isascii() else code_points(text)


def _bytes(text: str) -> Codes:
    return np.frombuffer(utf8(text), dtype=np.uint8)


def ids_of_units(tokens: Sequence[str], vocabulary: Vocabulary) -> Ids:
    """The id of each unit in a vocabulary, `unknown` where it is not there."""
    if isinstance(vocabulary, CharVocabulary):
        return vocabulary.encode("".join(tokens))
    if isinstance(vocabulary, WordVocabulary):
        return vocabulary.ids_of_tokens(tokens)
    if isinstance(vocabulary, SymbolVocabulary):
        place = {symbol: vocabulary.first + k for k, symbol in enumerate(vocabulary.symbols)}
        return np.array([place.get(token, vocabulary.unknown) for token in tokens], dtype=np.int64)
    return np.array([ord(token) for token in tokens], dtype=np.int64) + vocabulary.first
