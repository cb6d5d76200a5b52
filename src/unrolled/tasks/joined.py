"""A language model of ours beside a transcriber's beam search: what each next symbol costs by it. No torch here."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.data import Vocabulary
from unrolled.decode import log_softmax
from unrolled.decode.ctc import Companion
from unrolled.errors import ArgumentError
from unrolled.tasks.language_text import LanguageText

Logs = npt.NDArray[np.float64]


def join(model: LanguageText, vocabulary: Vocabulary) -> Companion:
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

    def __init__(self, model: LanguageText) -> None:
        self.model = model
        self.unknown = model.vocabulary.unknown
        # What stands for the end of a text; a model of one long text has none but a line break.
        self.end = model.border if model.ends else model.start if model.start != model.border else None

    def start(self) -> _Place:
        return self._read([self.model.start], None)[0]

    def go_on(self, ids: Sequence[int], places: Sequence[_Place]) -> list[_Place]:
        if not ids:
            return []
        return self._read(ids, self.model.rows([(place.states, place.row) for place in places]))

    def ending(self, place: _Place) -> float:
        """What the end costs: its log p."""
        return 0.0 if self.end is None else float(place.logs[self.end])

    def _read(self, ids: Sequence[int], states: Any) -> list[_Place]:
        logits, states = self.model.step(np.array(ids, np.int64), states)
        logs = log_softmax(logits)
        return [_Place(states, row, logs[row]) for row in range(len(ids))]


class _BySymbol:
    """log p of every symbol by the model's own unit of the same text."""

    def __init__(self, model: LanguageText, vocabulary: Vocabulary) -> None:
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
    """A place before a word, the letters of the word so far, and what they were charged before its end is known."""

    place: _Place
    letters: str
    charged: float


class _Word(NamedTuple):
    """Log p of a word, the place before its last unit, and that unit; None where there is no word."""

    cost: float
    place: _Place
    last: int | None


class _Lexicon:
    """The words of a vocabulary by how they begin."""

    def __init__(self, words: Vocabulary) -> None:
        order = sorted((words.token(unit), unit) for unit in range(words.first, len(words)))
        self.words = [word for word, _ in order]
        self.units = np.array([unit for _, unit in order], dtype=np.int64)

    def best(self, beginning: str, logs: Logs) -> float:
        """The highest of `logs` among the words that begin so."""
        first = bisect_left(self.words, beginning)
        units = self.units[first : bisect_left(self.words, beginning + chr(sys.maxunicode), first)]
        return float(logs[units].max(initial=-np.inf))


class _ByWord:
    """log p of a word, by the space that ends it; its letters are charged for the likeliest word that begins so.

    In the end a word has cost its own log p; without the charge before it the search would put its end off. A word that
    the model does not know costs what an unknown one does, and each of its letters what one of equally likely symbols
    does, so that no letters are cheaper than words.
    """

    def __init__(self, model: LanguageText, vocabulary: Vocabulary) -> None:
        self.reader = _Reader(model)
        self.words = model.vocabulary
        self.lexicon = _Lexicon(self.words)
        self.letters = [vocabulary.decode([symbol]) for symbol in range(len(vocabulary))]
        self.price = -float(np.log(max(1, len(vocabulary) - vocabulary.first)))
        self.space = self.letters.index(" ") if " " in self.letters else None

    def start(self) -> tuple[Logs, Any]:
        state = _Spelling(self.reader.start(), "", 0.0)
        return self._scores(state), state

    def advance(self, symbols: Sequence[int], states: Sequence[Any]) -> tuple[Logs, list[Any]]:
        after = self._after(symbols, states)
        return np.stack([self._scores(state) for state in after]), list(after)

    def ends(self, states: Sequence[Any]) -> Logs:
        words = [self._word(state) for state in states]
        places = self._behind(words)
        rest = [word.cost - state.charged for word, state in zip(words, states, strict=True)]
        return np.array([cost + self.reader.ending(place) for cost, place in zip(rest, places, strict=True)])

    def _scores(self, state: _Spelling) -> Logs:
        """What each next symbol adds, (V,)."""
        scores = np.array([self._hope(state.place, state.letters + letter) for letter in self.letters]) - state.charged
        if self.space is not None:
            scores[self.space] = self._word(state).cost - state.charged
        return scores

    def _hope(self, place: _Place, letters: str) -> float:
        """About the most that can still be hoped for of what begins so: log p of the likeliest word, known or not."""
        pieces = self.words.pieces(letters)
        costs = [self._price(*one, place) for one in zip(self.words.encode(letters).tolist(), pieces, strict=True)]
        if not costs:
            return 0.0
        return sum(costs[:-1]) + max(costs[-1], self.lexicon.best(pieces[-1], place.logs))

    def _price(self, unit: int, piece: str, place: _Place) -> float:
        return float(place.logs[unit]) + (len(piece) * self.price if unit == self.words.unknown else 0.0)

    def _after(self, symbols: Sequence[int], states: Sequence[_Spelling]) -> list[_Spelling]:
        """The states after a symbol each; the model reads a word, all that end here at once, when its space comes."""
        ended = [number for number, symbol in enumerate(symbols) if symbol == self.space]
        places = dict(zip(ended, self._behind([self._word(states[number]) for number in ended]), strict=True))
        found = []
        for number, (symbol, state) in enumerate(zip(symbols, states, strict=True)):
            if number in places:
                found.append(_Spelling(places[number], "", 0.0))
            else:
                letters = state.letters + self.letters[symbol]
                found.append(_Spelling(state.place, letters, self._hope(state.place, letters)))
        return found

    def _word(self, state: _Spelling) -> _Word:
        """What the word so far costs, were this its end."""
        ids = self.words.encode(state.letters).tolist()
        cost, place, last = 0.0, state.place, None
        for unit, piece in zip(ids, self.words.pieces(state.letters), strict=True):
            if last is not None:
                place = self.reader.go_on([last], [place])[0]
            cost += self._price(unit, piece, place)
            last = unit
        return _Word(cost, place, last)

    def _behind(self, words: Sequence[_Word]) -> list[_Place]:
        """The places after these words."""
        read = [(word.last, word.place) for word in words if word.last is not None]
        found = iter(self.reader.go_on([last for last, _ in read], [place for _, place in read]))
        return [word.place if word.last is None else next(found) for word in words]
