"""Symbols as tokens: the items of a sequence, whatever they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.data.vocabulary.encoder import Encoder, last_word
from unrolled.errors import ArgumentError

# Items such as "blue shirt" hold spaces; a text with a tab in it is parted at its tabs alone.
TAB = "\t"
_GAP = re.compile(r"\s+")


def split_symbols(text: str) -> list[str]:
    """The symbols of a text: what stands between its tabs, or, where it has none, between its spaces."""
    return [symbol.strip() for symbol in text.split(TAB) if symbol.strip()] if TAB in text else text.split()


def join_symbols(symbols: Iterable[str]) -> str:
    """The text that `split_symbols` parts into just these symbols."""
    names = list(symbols)
    return TAB.join([*names, ""]) if any(len(name.split()) > 1 for name in names) else " ".join(names)


class SymbolVocabulary(Vocabulary):
    """One token a symbol, as it is written; an unknown one is shown as `<unk>`.

    `split_symbols(decode(encode(text))) == split_symbols(text)` where all symbols are known.
    """

    units: ClassVar[str] = "symbol"

    def __init__(self, symbols: Sequence[str], *, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self.symbols = list(symbols)
        self._ids = {symbol: self.first + place for place, symbol in enumerate(self.symbols)}
        self._end = TAB if any(len(symbol.split()) > 1 for symbol in self.symbols) else " "

    def __len__(self) -> int:
        return self.first + len(self.symbols)

    def encode(self, text: str) -> Ids:
        return np.array([self._ids.get(symbol, self.unknown) for symbol in split_symbols(text)], dtype=np.int64)

    def pieces(self, text: str) -> list[str]:
        return split_symbols(text)

    def decode(self, ids: Iterable[int]) -> str:
        decoder = self.decoder()
        return "".join([decoder.push(index) for index in self.checked(ids).tolist()])

    def decoder(self) -> Decoder:
        return _SymbolDecoder(self, self._end)

    def encoder(self) -> Encoder:
        return SymbolEncoder(self, spaced=self._end == TAB)

    def token(self, index: int) -> str:
        return self.reserved(index) or self.symbols[index - self.first]

    def to_json(self) -> dict[str, Any]:
        return {"units": self.units, "specials": list(self.specials), "tokens": self.symbols}


class SymbolEncoder(Encoder):
    """Symbols as they arrive: the first tab, or where no known symbol has a space the first space, parts them all.

    Raises ArgumentError for a tab in a text that was parted at spaces, which as a whole would be parted at tabs alone.
    """

    def __init__(self, vocabulary: SymbolVocabulary, *, spaced: bool) -> None:
        super().__init__(vocabulary)
        self.spaced = spaced
        self.parts_at = ""

    def push(self, text: str) -> Ids:
        text = self.held + text
        self.parts_at = self.parts_at or self._separator(text)
        if self.parts_at == " " and TAB in text:
            raise ArgumentError("a tab came after symbols that were parted at spaces; part all of them at tabs")
        end = 0
        if self.parts_at == TAB:
            end = text.rfind(TAB) + 1
        elif self.parts_at:
            end = last_word(text)
        self._hold(text[end:])
        return self._ids(text[:end])

    def finish(self) -> Ids:
        rest, self.held = self.held, ""
        return self._ids(rest)

    def save(self) -> dict[str, str]:
        return {"held": self.held, "parts_at": self.parts_at}

    def load(self, saved: dict[str, str]) -> None:
        super().load(saved)
        self.parts_at = saved["parts_at"]

    def _separator(self, text: str) -> str:
        """What parts the symbols of a text that begins so; "" where that is open."""
        begun = text.lstrip()
        if TAB in text[: len(text) - len(begun)] or (self.spaced and TAB in begun):
            return TAB
        gap = None if self.spaced else _GAP.search(begun)
        if gap is None:
            return ""
        return TAB if TAB in gap[0] else " " if gap.end() < len(begun) else ""

    def _ids(self, text: str) -> Ids:
        return self.vocabulary.encode(text + TAB if self.parts_at == TAB and text else text)


class _SymbolDecoder:
    def __init__(self, vocabulary: SymbolVocabulary, end: str) -> None:
        self._vocabulary = vocabulary
        self._end = end
        self._started = False

    def push(self, token: int) -> str:
        index = int(self._vocabulary.checked([token])[0])
        if index < self._vocabulary.first and index != self._vocabulary.unknown:
            return ""
        symbol = self._vocabulary.token(index)
        before = self._end if self._started and self._end != TAB else ""
        self._started = True
        # A tab after each, the last too, so that a single symbol with a space in it is read back as one.
        return before + symbol + (TAB if self._end == TAB else "")

    def flush(self) -> str:
        return ""
