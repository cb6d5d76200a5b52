"""The likeliest next words of a model that reads characters, bytes or subwords: a small beam over units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

LogProbabilities = npt.NDArray[np.float64]
S = TypeVar("S")


class Kind(IntEnum):
    """What a unit does to the word before it."""

    NOTHING = 0  # never produced: padding, unknown
    SPACE = 1  # white space: the word is over, none has begun
    LETTER = 2  # goes on with the word
    MARK = 3  # a word by itself, such as a comma
    BEGIN = 4  # white space and the first letters of the next word in one unit


def kind_of(text: str) -> Kind:
    """The kind of a unit by its text; an apostrophe or a hyphen counts as a letter."""
    body = text.lstrip()
    if not text:
        return Kind.NOTHING
    if not body:
        return Kind.SPACE
    if not all(letter.isalnum() or letter in "'-_’" for letter in body):
        return Kind.MARK
    return Kind.LETTER if body == text else Kind.BEGIN


@dataclass(frozen=True)
class _Hypothesis:
    units: tuple[int, ...]
    log_probability: float
    row: int  # its place in the batch of states


@dataclass
class WordBeam(Generic[S]):
    """P(word) = sum over the ways to spell it of prod_k P(unit_k | before) P(the word ends | units).

    `advance(units (N,), rows (N,), states) -> (log probabilities (N, V), states)` reads `units[n]` in the state of
    row `rows[n]`. `decode` turns units into text. The result is a lower bound, exact where the beam is wide enough.
    """

    kinds: npt.NDArray[np.int64]
    decode: Callable[[Sequence[int]], str]
    advance: Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64], S], tuple[LogProbabilities, S]]
    width: int = 40
    longest: int = 24

    def words(self, first: LogProbabilities, states: S, count: int, *, in_word: bool) -> list[tuple[str, float]]:
        """The `count` likeliest next words with their probabilities, likeliest first.

        `first` (1, V) follows the prompt, `states` is its state of one row; `in_word`: the prompt ends in a letter, so
        its last word is taken as whole and the next must part from it first.
        """
        logs = first
        if in_word:
            logs = np.where(self.kinds == Kind.LETTER, -np.inf, first)
            logs = logs - np.logaddexp.reduce(logs, axis=-1, keepdims=True)
        found: dict[str, float] = {}
        beam = [_Hypothesis((), 0.0, 0)]
        for _ in range(self.longest):
            grown = self._grow(beam, logs, found)
            if not grown or self._settled(grown, found, count):
                break
            ids = np.array([h.units[-1] for h in grown])
            logs, states = self.advance(ids, np.array([h.row for h in grown]), states)
            beam = [_Hypothesis(h.units, h.log_probability, row) for row, h in enumerate(grown)]
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return ranked[:count]

    def _grow(self, beam: list[_Hypothesis], logs: LogProbabilities, found: dict[str, float]) -> list[_Hypothesis]:
        """Finish what can end here into `found`; return the best hypotheses that go on."""
        candidates: list[_Hypothesis] = []
        for hypothesis, row in zip(beam, logs, strict=True):
            begun = any(self.kinds[u] in (Kind.LETTER, Kind.BEGIN) for u in hypothesis.units)
            ending = np.isin(self.kinds, (Kind.SPACE, Kind.MARK, Kind.BEGIN))
            if begun:
                ended = hypothesis.log_probability + float(np.logaddexp.reduce(row[ending]))
                self._add(found, hypothesis.units, ended)
            # Of what cannot be among the best `width` of this row nothing can be among the best of all.
            for unit in np.argsort(-row, kind="stable")[: self.width]:
                kind = self.kinds[unit]
                total = hypothesis.log_probability + float(row[unit])
                if kind == Kind.NOTHING or not np.isfinite(total) or (begun and kind != Kind.LETTER):
                    continue
                if kind == Kind.MARK:
                    self._add(found, (*hypothesis.units, int(unit)), total)
                else:
                    candidates.append(_Hypothesis((*hypothesis.units, int(unit)), total, hypothesis.row))
        candidates.sort(key=lambda h: -h.log_probability)
        return candidates[: self.width]

    def _add(self, found: dict[str, float], units: tuple[int, ...], log_probability: float) -> None:
        word = self.decode(units).strip()
        if word:
            found[word] = found.get(word, 0.0) + float(np.exp(log_probability))

    @staticmethod
    def _settled(beam: list[_Hypothesis], found: dict[str, float], count: int) -> bool:
        """Nothing that is still open could move one of the best `count` by more than a hundredth."""
        if len(found) < count:
            return False
        still_open = float(np.exp([h.log_probability for h in beam]).sum())
        return still_open < 0.01 * sorted(found.values())[-count]
