"""How the steps of a sequence become what a network reads: words, numbers; frames are in `film_input`.

An input knows its features' width, makes its encoder, and turns pieces of sequences into a batch. A sequence is
anything with a length and slices: a tuple of words, an array (T, F), a film.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from unrolled.data import CharVocabulary, Scaler, WordVocabulary, pad_ids, pad_numbers, vocabulary_from_json
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks.network import NetworkPlan

if TYPE_CHECKING:
    from torch import nn

    from unrolled.models import Words

Numbers = npt.NDArray[np.float32]


class StepInput(ABC):
    """One kind of steps. `kind` is what its sequences are called in the schema of a run."""

    kind: ClassVar[str]
    limit: ClassVar[int] = 2**31
    """Most steps encoded at once in evaluation."""
    batch_steps: ClassVar[int] = 2**31
    """Most steps in a training batch."""
    width: int = 1
    """Features of a step that are not embedded words."""

    @abstractmethod
    def encoder(self, plan: NetworkPlan) -> tuple[nn.Module | None, int]:
        """The module with fresh weights that makes features (B, T, F) of a batch, None for numbers; and F."""

    @abstractmethod
    def check(self, sequence: Any) -> str | None:
        """What is wrong with a sequence that is not of this kind, as the middle of a sentence."""

    @abstractmethod
    def prepare(self, sequence: Any) -> Any:
        """A sequence as it is kept during training: with a length and slices."""

    @abstractmethod
    def arrays(self, pieces: Sequence[Any]) -> Any:
        """Pieces of prepared sequences as the inputs of one batch, padded: an array, or the five of `WordEncoder`."""

    def collate(self, pieces: Sequence[Any]) -> Any:
        """The same as tensors."""
        import torch

        return torch.from_numpy(self.arrays(pieces))

    @abstractmethod
    def joined(self, steps: Sequence[Any]) -> Any:
        """The sequence of these steps."""

    @abstractmethod
    def key(self, sequence: Any) -> Hashable:
        """What makes two sequences the same."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` of the class makes an equal input."""

    def prepare_all(self, sequences: Sequence[Any]) -> list[Any]:
        """`prepare` of each; raises ArgumentError for one of another kind."""
        for place, sequence in enumerate(sequences):
            if (wrong := self.check(sequence)) is not None:
                raise ArgumentError(f"sequence {place + 1} {wrong}")
        return [self.prepare(sequence) for sequence in sequences]


# Outward forms of a word: what is left when its letters are forgotten.
FORMS = ("padding", "lower", "Capital", "UPPER", "miXed", "number", "with digit", "punctuation", "other")


def form(word: str) -> int:
    """The number of a word's outward form in `FORMS`."""
    if any(c.isdigit() for c in word):
        return 5 if all(c.isdigit() or c in ".,:/-" for c in word) else 6
    if not any(c.isalpha() for c in word):
        return 7 if word else 8
    if word.islower():
        return 1
    if word.isupper():
        return 3 if len(word) > 1 else 2
    return 2 if word[0].isupper() and word[1:].islower() else 4


# Fewer sequences than this are few: each weighs much, and none of them can be given away.
FEW = 10
# Parts of few sequences, whose levels are compared.
_PARTS = 8

# The least deviation of a sequence normalised by itself, as a share of that of all training sequences.
_LEAST_OWN = 0.1

# A spelling longer than this is a link or noise; its head says enough.
_LONGEST_WORD = 40


class WordInput(StepInput):
    """Words: an id of the word in small letters, its characters as they are, and its outward form."""

    kind = "words"

    def __init__(self, words: WordVocabulary, characters: CharVocabulary, spelling: int) -> None:
        self.words = words
        self.characters = characters
        self.spelling = spelling
        self.forms: dict[str, int] = {}
        self.spellings: dict[str, npt.NDArray[np.int64]] = {}

    def encoder(self, plan: NetworkPlan) -> tuple[nn.Module | None, int]:
        import torch

        from unrolled.models import Embedding, WordEncoder

        words = Embedding(
            len(self.words),
            plan.inputs,
            vectors=0.1 * torch.randn(len(self.words), plan.inputs),
            trainable=not plan.frozen_embedding,
            word_dropout=plan.word_dropout,
        )
        characters = speller = None
        if self.spelling:
            width = min(32, self.spelling)
            characters = Embedding(len(self.characters), width)
            small = replace(plan, inputs=width, hidden=self.spelling, layers=1, bidirectional=True)
            speller = replace(small, regularisation=replace(plan.regularisation, input_dropout=0.0, dropout=0.0))
        encoder = WordEncoder(words, len(FORMS), characters, None if speller is None else speller.recurrent())
        return encoder, encoder.output_size

    def check(self, sequence: Any) -> str | None:
        if isinstance(sequence, list | tuple) and all(isinstance(word, str) and word for word in sequence):
            return None
        return "is not a list of words, and this model reads words; give [['The', 'dog', 'barks'], ...]"

    def prepare(self, sequence: Sequence[str]) -> tuple[str, ...]:
        return tuple(sequence)

    def collate(self, pieces: Sequence[Sequence[str]]) -> Words:
        import torch

        from unrolled.models import Words

        return Words(*map(torch.from_numpy, self.arrays(pieces)))

    def arrays(self, pieces: Sequence[Sequence[str]]) -> tuple[npt.NDArray[np.int64], ...]:
        ids, _ = pad_ids([self.words.ids_of(piece) for piece in pieces])
        forms, _ = pad_ids([np.array([self._form(word) for word in piece], dtype=np.int64) for piece in pieces])
        number: dict[str, int] = {}
        which, _ = pad_ids(
            [np.array([number.setdefault(w, len(number)) for w in piece], dtype=np.int64) for piece in pieces]
        )
        characters, lengths = pad_ids([self._spelling(word) for word in number])
        return ids, forms, which, characters, lengths

    def _form(self, word: str) -> int:
        if word not in self.forms:
            self.forms[word] = form(word)
        return self.forms[word]

    def _spelling(self, word: str) -> npt.NDArray[np.int64]:
        if word not in self.spellings:
            self.spellings[word] = self.characters.encode(word[:_LONGEST_WORD])
        return self.spellings[word]

    def joined(self, steps: Sequence[str]) -> tuple[str, ...]:
        return tuple(steps)

    def key(self, sequence: Sequence[str]) -> Hashable:
        return tuple(sequence)

    def to_json(self) -> dict[str, Any]:
        return {"characters": self.characters.to_json(), "spelling": self.spelling}

    @classmethod
    def from_json(cls, data: dict[str, Any], words: WordVocabulary) -> WordInput:
        """The input of a run; raises RunError."""
        try:
            characters = vocabulary_from_json(data.get("characters"))
        except DataError as error:
            raise RunError(str(error)) from None
        spelling = data.get("spelling")
        if not isinstance(characters, CharVocabulary) or type(spelling) is not int or spelling < 0:
            raise RunError("the data's schema does not say how words are spelled")
        return cls(words, characters, spelling)


class NumberInput(StepInput):
    """F numbers a step: scaled, and with `differences` their change since the step before beside them.

    The last `clock` of the numbers are times of day, which are left alone. With `own`, every sequence is brought to
    mean 0 and deviation 1 by itself, which needs the whole of it. `drift` are deviations by which the levels of the
    others are shifted while training.
    """

    kind = "numbers"

    def __init__(
        self, scaler: Scaler, differences: Scaler | None, *, clock: int, drift: Sequence[float], own: bool
    ) -> None:
        self.scaler = scaler
        self.differences = differences
        self.clock = clock
        self.drift = list(drift)
        self.own = own
        self.levels = len(scaler.mean) - clock
        self.width = len(scaler.mean) + (0 if differences is None else self.levels)

    @classmethod
    def fit(
        cls, sequences: Sequence[Numbers], *, differences: bool, clock: int, drift: float | None, own: bool
    ) -> NumberInput:
        """Scales learnt on these sequences, and where `drift` is None how far the levels of their parts are apart."""
        found = cls(Scaler.fit(sequences), None, clock=clock, drift=[], own=own)
        levels = [found._scaled(sequence)[:, : found.levels] for sequence in sequences]
        found.drift = level_drift(levels) if drift is None else [drift] * found.levels
        if differences and found.levels:
            changes = Scaler.fit([_changes(sequence) for sequence in levels])
            return cls(found.scaler, changes, clock=clock, drift=found.drift, own=own)
        return found

    def encoder(self, plan: NetworkPlan) -> tuple[nn.Module | None, int]:
        from unrolled.models import Drift

        return Drift(self.drift) if any(self.drift) else None, self.width

    def check(self, sequence: Any) -> str | None:
        width = len(self.scaler.mean)
        if isinstance(sequence, np.ndarray) and sequence.ndim == 2 and sequence.shape[1] == width:
            return None
        what = f"has the shape {sequence.shape}" if isinstance(sequence, np.ndarray) else "is no array"
        return f"{what}, and this model reads {width} numbers a step; give arrays (T, {width})"

    def prepare(self, sequence: Numbers) -> Numbers:
        scaled = self._scaled(sequence)
        if self.differences is None:
            return scaled
        return np.concatenate((scaled, self.differences.transform(_changes(scaled[:, : self.levels]))), 1)

    def _scaled(self, sequence: Numbers) -> Numbers:
        scaled = self.scaler.transform(sequence)
        if self.own:
            levels = scaled[:, : self.levels]
            # What hardly moves in this sequence is not blown up to noise of size 1.
            scaled[:, : self.levels] = (levels - levels.mean(0)) / np.maximum(levels.std(0), _LEAST_OWN)
        return scaled

    def arrays(self, pieces: Sequence[Numbers]) -> Numbers:
        return pad_numbers(pieces)[0]

    def joined(self, steps: Sequence[Numbers]) -> Numbers:
        return np.stack(steps)

    def key(self, sequence: Numbers) -> Hashable:
        return sequence.shape, sequence.tobytes()

    def to_json(self) -> dict[str, Any]:
        differences = None if self.differences is None else self.differences.to_json()
        rest = {"clock": self.clock, "drift": self.drift, "own": self.own}
        return {"scaler": self.scaler.to_json(), "differences": differences, **rest}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NumberInput:
        """The input of a run; raises RunError."""
        try:
            scaler = Scaler.from_json(data.get("scaler"))
            differences = None if data.get("differences") is None else Scaler.from_json(data["differences"])
        except DataError as error:
            raise RunError(str(error)) from None
        clock, drift, own = data.get("clock"), data.get("drift"), data.get("own")
        if type(clock) is not int or not 0 <= clock <= len(scaler.mean):
            raise RunError("the data's schema does not say which numbers are times")
        levels = len(scaler.mean) - clock
        if not isinstance(own, bool) or (differences is not None and len(differences.mean) != levels):
            raise RunError("the data's schema does not say how numbers are scaled")
        if not isinstance(drift, list) or len(drift) != levels or not all(map(_is_deviation, drift)):
            raise RunError("the data's schema does not say how far each number's level is shifted in training")
        return cls(scaler, differences, clock=clock, drift=drift, own=own)


def level_drift(sequences: Sequence[Numbers]) -> list[float]:
    """How far the levels of each number are apart: the deviation of its mean over the eighths of (T, F) sequences.

    None for many sequences: those show a network by themselves which levels there are, and what they mean.
    """
    width = sequences[0].shape[1]
    if len(sequences) >= FEW:
        return [0.0] * width
    each = -(-_PARTS // len(sequences))
    parts = [part for sequence in sequences for part in np.array_split(sequence, each) if len(part)]
    means = np.array([part.mean(0) for part in parts]).reshape(-1, width)
    return [float(d) for d in means.std(0)]


def _is_deviation(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf


def _changes(sequence: Numbers) -> Numbers:
    """x_t - x_{t-1}, zero at the first step."""
    return np.diff(sequence, axis=0, prepend=sequence[:1])
