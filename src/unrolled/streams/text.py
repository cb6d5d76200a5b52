"""Text that is still arriving, as the ids of a vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.genome import clean
from unrolled.data.vocabulary import Vocabulary
from unrolled.errors import ArgumentError, DataError
from unrolled.streams.saved import Kept


def as_text(part: Any) -> str:
    """A part of a text; raises ArgumentError for anything else."""
    if not isinstance(part, str):
        raise ArgumentError(f"a part is {type(part).__name__}, and this stream reads text; give str")
    return part


class TextInput:
    """Units of text; what may still become another unit waits."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.encoder = vocabulary.encoder()

    def push(self, part: Any) -> Ids:
        return self.encoder.push(as_text(part))

    def finish(self) -> Ids:
        return self.encoder.finish()

    def save(self) -> Kept:
        return Kept(**self.encoder.save())

    def load(self, kept: Kept) -> None:
        self.encoder.load({name: kept.value(name, str) for name in self.encoder.save()})


class BasesInput:
    """DNA as bases or as the words of k letters that begin at each place, of which the last ones wait."""

    def __init__(self, vocabulary: Vocabulary, k: int) -> None:
        self.vocabulary = vocabulary
        self.k = k
        self.held = ""
        self.begun = False

    def push(self, part: Any) -> Ids:
        text = as_text(part)
        if not text.split():
            return np.zeros(0, np.int64)
        bases = self.held + clean(text)
        count = max(0, len(bases) - self.k + 1)
        self.held = bases[count:]
        return self._ids([bases[place : place + self.k] for place in range(count)])

    def finish(self) -> Ids:
        if not self.begun and not self.held:
            raise DataError("the sequence has no bases; push some before the end")
        # A sequence shorter than a word is one word.
        return np.zeros(0, np.int64) if self.begun else self._ids([self.held])

    def save(self) -> Kept:
        return Kept(held=self.held, begun=self.begun)

    def load(self, kept: Kept) -> None:
        self.held, self.begun = kept.value("held", str)[: self.k], kept.value("begun", bool)

    def _ids(self, words: list[str]) -> Ids:
        self.begun = self.begun or bool(words)
        return self.vocabulary.encode(("" if self.k == 1 else " ").join(words))
