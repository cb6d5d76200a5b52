"""What a language model is asked: to go on, to complete, to score. The network is somebody else's; no torch here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data import LengthBatches, Vocabulary, pad_ids
from unrolled.data.vocabulary import split_symbols
from unrolled.data.vocabulary.word import split_words
from unrolled.decode import Kind, Sampling, WordBeam, kind_of, log_softmax
from unrolled.errors import ArgumentError
from unrolled.train.metrics import bits_per_character, perplexity

BORDER = "<document>"
_RUN_UP = 512
WINDOW = 256
_ROWS = 64

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """How well a model foretells a text: its cost in nats, over `units` units that make up `characters` characters."""

    nats: float
    units: int
    characters: int

    @property
    def loss(self) -> float:
        """Nats a unit."""
        return self.nats / max(1, self.units)

    def metrics(self) -> dict[str, float]:
        """Under the names that `--json` and `metrics.jsonl` use."""
        found = {"loss": self.loss, "perplexity": perplexity(self.loss)}
        if self.characters:
            found["bits_per_character"] = bits_per_character(self.loss, self.units, self.characters)
        return found


class LanguageText(ABC):
    """Texts in and out of a network that says what comes next.

    `border` begins and, where `ends`, ends a document; `start` is what a text begins after; `lines`: line breaks were
    seen more often than borders.
    """

    vocabulary: Vocabulary

    def __init__(self, vocabulary: Vocabulary, *, ends: bool, lines: bool) -> None:
        self.vocabulary = vocabulary
        self.ends = ends
        self.lines = lines
        self.border = vocabulary.special(BORDER)
        self.start = self.border if ends else _line_break(vocabulary) or self.border

    def encode(self, text: str) -> Ids:
        """A document as it is read: the start unit, its own, and the border if the model learnt ends."""
        ends = [self.border] if self.ends else []
        return np.concatenate([[self.start], self.vocabulary.encode(text), ends]).astype(np.int64)

    @property
    def line(self) -> tuple[list[int], list[int]]:
        """What stands before a line or a sentence, and behind it where the model learnt anything of that."""
        line_break = _line_break(self.vocabulary) if self.lines else None
        if line_break is not None:
            return [self.border, line_break] if self.ends else [self.start], [line_break]
        return [self.start], [self.border] if self.ends else []

    def score(self, texts: Sequence[str]) -> list[Score]:
        """The cost of each text on its own; raises ArgumentError for one without a known unit."""
        for place, text in enumerate(texts):
            if not len(self.vocabulary.encode(text)):
                raise ArgumentError(
                    f"text {place + 1} has no {self.vocabulary.units} in it; give a text that is not empty"
                )
        return self._scores(texts, pieces=1)

    def generate(
        self,
        prompt: str = "",
        length: int = 500,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """The text that goes on from `prompt`, piece by piece as it is drawn: at most `length` units.

        Ends earlier where the model learnt ends of documents and draws one. Raises ArgumentError.
        """
        if length < 1:
            raise ArgumentError(f"length is {length}, it must be 1 or more")
        sampling = Sampling(temperature, top_k, top_p)
        return self._pieces(prompt, length, sampling, np.random.default_rng(seed))

    def _pieces(self, prompt: str, length: int, sampling: Sampling, rng: np.random.Generator) -> Iterator[str]:
        decoder = self.vocabulary.decoder()
        known = self.vocabulary.encode(prompt)
        for unit in known:  # so that the first piece is joined to the prompt as the text would be
            decoder.push(int(unit))
        forbidden = [self.vocabulary.pad, self.vocabulary.unknown]
        if not self.ends:
            forbidden.append(self.border)
        logits, state = self._read(prompt)
        for _ in range(length):
            unit = sampling.draw(logits[0], rng, forbidden)
            if unit == self.border:
                break
            if piece := decoder.push(unit):
                yield piece
            logits, state = self.step(np.array([unit]), state)
        if rest := decoder.flush():
            yield rest

    def complete(self, prompt: str, count: int = 10, *, single: bool = False) -> list[tuple[str, float]]:
        """The likeliest next words or symbols with their probabilities, likeliest first.

        A model of characters, bytes or subwords spells whole words; the prompt's last word is then taken as whole. With
        `single` the next unit is listed, whatever it is. An empty name is the end of the text, where ends were learnt.
        """
        if count < 1:
            raise ArgumentError(f"count is {count}, it must be 1 or more")
        logits, state = self._read(prompt)
        logs = log_softmax(logits)
        if single or self.vocabulary.units in ("word", "symbol"):
            end = logs[0, self.border]
            logs[:, : self.vocabulary.first] = -np.inf
            if self.ends:
                logs[0, self.border] = end
            best = [int(unit) for unit in np.argsort(-logs[0], kind="stable")[:count] if logs[0, unit] > -np.inf]
            names = ["" if unit == self.border else self.vocabulary.token(unit) for unit in best]
            return [(name, math.exp(logs[0, unit])) for name, unit in zip(names, best, strict=True)]
        beam = WordBeam(self._kinds(), self.vocabulary.decode, self._advance)
        return beam.words(logs, state, count, in_word=kind_of(prompt[-1:]) == Kind.LETTER)

    def unknown(self, text: str) -> list[str]:
        """The words, symbols or characters that the vocabulary lacks, once each; bytes and pieces know all."""
        splits: dict[str, Callable[[str], list[str]]] = {"symbol": split_symbols, "word": split_words, "char": list}
        split = splits.get(self.vocabulary.units)
        parts = [] if split is None else split(text)
        missing = self.vocabulary.encode(text) == self.vocabulary.unknown
        return list(dict.fromkeys(part for part, lacks in zip(parts, missing, strict=bool(parts)) if lacks))

    def _kinds(self) -> npt.NDArray[np.int64]:
        """What each unit does to a word; a part of a character counts as a letter, a learnt end of text as a mark."""
        texts = [self.vocabulary.decode([unit]) for unit in range(len(self.vocabulary))]
        kinds = np.array([Kind.LETTER if "\ufffd" in text else kind_of(text) for text in texts], dtype=np.int64)
        kinds[: self.vocabulary.first] = Kind.NOTHING
        if self.ends:
            kinds[self.border] = Kind.MARK
        return kinds

    @abstractmethod
    def nats(self, ids: Ids, lengths: Ids, run_ups: Ids) -> npt.NDArray[np.float64]:
        """Cost (B,) of rows (B, T), without their first `run_ups` steps, read in windows with the state carried on."""

    @abstractmethod
    def _read(self, prompt: str) -> tuple[npt.NDArray[np.float64], Any]:
        """Logits (1, V) and state after the prompt."""

    @abstractmethod
    def rows(self, places: Sequence[tuple[Any, int]]) -> Any:
        """One state of these rows of several states."""

    @abstractmethod
    def step(self, ids: Ids, state: Any) -> tuple[npt.NDArray[np.float64], Any]:
        """One unit a row, ids (N,): logits (N, V) and the state."""

    @abstractmethod
    def _advance(self, ids: Ids, rows: Ids, state: Any) -> tuple[npt.NDArray[np.float64], Any]:
        """One unit a row after these rows of a state: log p of the next (N, V) and the state."""

    def _scores(self, texts: Sequence[str], pieces: int) -> list[Score]:
        """The cost of each text, read in so many pieces at once, if it is long."""
        documents = [self.encode(text) for text in texts]
        cut = [(place, *piece) for place, ids in enumerate(documents) for piece in _cut(ids, pieces)]
        owners, rows, run_ups = (list(column) for column in zip(*cut, strict=True))
        nats = np.zeros(len(texts))
        for batch in LengthBatches([len(row) for row in rows], _ROWS, 0, shuffle=False).epoch(0):
            ids, lengths = pad_ids([rows[i] for i in batch])
            costs = self.nats(ids, lengths, np.array([run_ups[i] for i in batch]))
            np.add.at(nats, [owners[i] for i in batch], costs)
        # How many characters a symbol's name has says nothing.
        sizes = [0 if self.vocabulary.units == "symbol" else len(text) for text in texts]
        return [Score(float(n), len(ids) - 1, size) for n, ids, size in zip(nats, documents, sizes, strict=True)]


def _cut(ids: Ids, pieces: int) -> list[tuple[Ids, int]]:
    """Contiguous shares of a document's steps, each with the steps that lead up to it and how many these are."""
    pieces = max(1, min(pieces, (len(ids) - 1) // (4 * _RUN_UP)))
    edges = np.linspace(0, len(ids) - 1, pieces + 1).astype(int).tolist()
    starts = [max(0, edge - _RUN_UP) for edge in edges[:-1]]
    return [(ids[start : b + 1], a - start) for start, (a, b) in zip(starts, pairwise(edges), strict=True)]


def _line_break(vocabulary: Vocabulary) -> int | None:
    """The unit of a line break, where it is one known unit."""
    units = vocabulary.encode("\n")
    return int(units[0]) if len(units) == 1 and units[0] != vocabulary.unknown else None
