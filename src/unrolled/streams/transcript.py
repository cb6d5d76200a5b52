"""The text of a signal that is still arriving, so far as it can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unrolled.data import Scaler, Vocabulary
from unrolled.data.arrays import Numbers
from unrolled.data.feeds import Feed, feed
from unrolled.data.signals import Signal, Sound, Strokes
from unrolled.decode.ctc import Greedy, PrefixBeam
from unrolled.errors import ArgumentError
from unrolled.streams.numbers import as_rows
from unrolled.streams.protocol import Answer
from unrolled.streams.saved import Kept, damaged

# Symbols, or samples that wait, of which a state may hold so many.
_MOST = 2**24


@dataclass(frozen=True)
class TranscribeChoices:
    """How the text is found: `beam` 1 takes the likeliest symbol at every step.

    With a beam, `language`, a language model of characters or words, helps with this `weight`, and each symbol adds
    `bonus` to a candidate's score.
    """

    beam: int = 1
    weight: float = 0.5
    bonus: float = 0.0
    language: Any = None

    def to_json(self) -> dict[str, Any]:
        """What a state holds: all but the language model."""
        return {"beam": self.beam, "weight": self.weight, "bonus": self.bonus}


class SignalInput:
    """Samples of sound, points of a pen or steps -> scaled features (T, F), as soon as they can be known.

    `make` begins a feed of rows of `width` numbers; samples are rows of one.
    """

    def __init__(self, make: Callable[[], Feed], width: int, scaler: Scaler) -> None:
        self.make, self.width, self.scaler = make, width, scaler
        self.feed = make()

    @classmethod
    def of(cls, signal: Signal, scaler: Scaler) -> Self:
        """What a transcriber reads; raises ArgumentError where its features need the whole sample."""
        width = 1 if isinstance(signal, Sound) else 3 if isinstance(signal, Strokes) else signal.width
        return cls(lambda: feed(signal), width, scaler)

    def push(self, part: Any) -> Numbers:
        return self.scaler.transform(self.feed.push(as_rows(part, self.width)))

    def finish(self) -> Numbers:
        return self.scaler.transform(self.feed.finish())

    def save(self) -> Kept:
        return Kept(**self.feed.save())

    def load(self, kept: Kept) -> None:
        fresh = self.make().save()
        arrays = {name: _like(kept, name, array, exact=len(array) > 0) for name, array in fresh.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise damaged("a sample that waits is not finite")
        self.feed.load(arrays)


class Text:
    """The symbols that the steps say, and the text that they are."""

    def __init__(
        self, vocabulary: Vocabulary, reader: Callable[[], Greedy | PrefixBeam], count: int, helper: str | None
    ) -> None:
        self.vocabulary = vocabulary
        self.fresh = reader
        self.reader = reader()
        self.count = count
        self.helper = helper
        """The fingerprint of the language model that helps."""

    def take(self, steps: Any, outputs: Numbers) -> None:
        self.reader.read(outputs)

    def answer(self, *, final: bool) -> Answer:
        return {"text": self.vocabulary.decode(self.reader.symbols)}

    def save(self) -> Kept:
        return Kept(helper=self.helper or "", **self.reader.save())

    def load(self, kept: Kept) -> None:
        if kept.value("helper", str) != (self.helper or ""):
            raise ArgumentError(
                "the stream was helped by another language model, or by none; give the same one again with language"
            )
        self.reader = self.fresh()
        arrays = {name: _like(kept, name, array) for name, array in self.reader.save().items()}
        if any(np.isnan(array).any() for array in arrays.values()):
            raise damaged("a score is no number")
        try:
            self.reader.load(arrays, self.count)
        except ArgumentError as error:
            raise damaged(str(error)) from None


def _like(kept: Kept, name: str, array: npt.NDArray[Any], *, exact: bool = False) -> npt.NDArray[Any]:
    """An array with the axes of another, the first of any length unless it has to be the same."""
    length = len(array) if exact else None
    return kept.array(name, (length, *array.shape[1:]), array.dtype, most=_MOST)
