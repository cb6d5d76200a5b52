"""A language model of ours beside a transcriber's beam search: what each next symbol costs by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unrolled.data import Vocabulary
from unrolled.decode import log_softmax
from unrolled.decode.ctc import Companion
from unrolled.errors import ArgumentError
from unrolled.layers import map_state
from unrolled.tasks.language import LanguageTask

Logs = npt.NDArray[np.float64]


def join(model: LanguageTask, vocabulary: Vocabulary) -> Companion:
    """The language model as a companion of a search over `vocabulary`.

    A model of the same units scores symbol by symbol, one of words also characters, at the space that ends a word.
    Raises ArgumentError for other units.
    """
    theirs, ours = model.vocabulary.units, vocabulary.units
    if theirs == ours and ours in ("char", "word"):
        return _BySymbol(model, vocabulary)
    if (ours, theirs) == ("char", "word"):
        return _ByWord(model, vocabulary)
    raise ArgumentError(
        f"the language model reads units of {theirs} and the transcription puts out {ours}; "
        "give a language model of char, or of word"
    )


class _Place(NamedTuple):
    """One row of a batch of the model's states, with log p (V,) of what follows."""

    states: Any
    row: int
    logs: Logs


class _Reader:
    """The language model on many texts at once, each going on from a place of its own."""

    def __init__(self, model: LanguageTask) -> None:
        self.model = model
        self.unknown = model.vocabulary.unknown
        # What stands for the end of a text; a model of one long text has none but a line break.
        self.end = model.border if model.ends else model.start if model.start != model.border else None
        self.model.module.eval()

    def start(self) -> _Place:
        return self._read([self.model.start], None)[0]

    def go_on(self, ids: Sequence[int], places: Sequence[_Place]) -> list[_Place]:
        if not ids:
            return []
        rows = [place.row for place in places]
        states = map_state(
            lambda *tensors: torch.cat([t[row : row + 1] for t, row in zip(tensors, rows, strict=True)]),
            *(place.states for place in places),
        )
        return self._read(ids, states)

    def ending(self, place: _Place) -> float:
        """What the end costs: its log p."""
        return 0.0 if self.end is None else float(place.logs[self.end])

    @torch.no_grad()
    def _read(self, ids: Sequence[int], states: Any) -> list[_Place]:
        tokens = torch.tensor(ids, device=self.model.device)
        logits, states = self.model.module.step(tokens, states)
        logs = log_softmax(logits.double().cpu().numpy())
        return [_Place(states, row, logs[row]) for row in range(len(ids))]


class _BySymbol:
    """log p of every symbol by the model's own unit of the same text."""

    def __init__(self, model: LanguageTask, vocabulary: Vocabulary) -> None:
        self.reader = _Reader(model)
        self.ids = np.full(len(vocabulary), model.vocabulary.unknown)
        for symbol in range(vocabulary.first, len(vocabulary)):
            ids = model.vocabulary.encode(vocabulary.token(symbol))
            if len(ids) == 1:
                self.ids[symbol] = ids[0]

    def start(self) -> tuple[Logs, Any]:
        place = self.reader.start()
        return place.logs[self.ids], place

    def advance(self, symbols: Sequence[int], states: Sequence[Any]) -> tuple[Logs, list[Any]]:
        places = self.reader.go_on(self.ids[list(symbols)].tolist(), states)
        return np.stack([place.logs for place in places])[:, self.ids], list(places)

    def ends(self, states: Sequence[Any]) -> Logs:
        return np.array([self.reader.ending(place) for place in states])


class _Spelling(NamedTuple):
    """A place before a word and the letters of the word so far."""

    place: _Place
    letters: str


class _ByWord:
    """log p of a word where it ends; its letters are free until then."""

    def __init__(self, model: LanguageTask, vocabulary: Vocabulary) -> None:
        self.reader = _Reader(model)
        self.words = model.vocabulary
        self.vocabulary = vocabulary
        space = vocabulary.encode(" ")
        self.space = int(space[0]) if space[0] != vocabulary.unknown else None

    def start(self) -> tuple[Logs, Any]:
        return np.zeros(len(self.vocabulary)), _Spelling(self.reader.start(), "")

    def advance(self, symbols: Sequence[int], states: Sequence[Any]) -> tuple[Logs, list[Any]]:
        after = [self._after(symbol, state) for symbol, state in zip(symbols, states, strict=True)]
        scores = np.zeros((len(after), len(self.vocabulary)))
        if self.space is not None:
            scores[:, self.space] = [self._word(state)[0] for state in after]
        return scores, list(after)

    def ends(self, states: Sequence[Any]) -> Logs:
        found = [self._word(state) for state in states]
        return np.array([score + self.reader.ending(place) for score, place in found])

    def _after(self, symbol: int, state: _Spelling) -> _Spelling:
        if symbol == self.space:
            return _Spelling(self._word(state)[1], "")
        return _Spelling(state.place, state.letters + self.vocabulary.decode([symbol]))

    def _word(self, state: _Spelling) -> tuple[float, _Place]:
        """What the word so far costs, were this its end (log p), and the place after it."""
        total, place = 0.0, state.place
        for unit in self.words.encode(state.letters).tolist():
            total += float(place.logs[unit])
            place = self.reader.go_on([unit], [place])[0]
        return total, place
