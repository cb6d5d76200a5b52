"""From the scores of a CTC network to symbols: greedy, prefix beam search, and when each symbol was said. NumPy alone.

In connectionist temporal classification (Graves et al. 2006) every step puts out a symbol or the blank. A path over the
steps stands for the symbols that are left when repeats are joined and then blanks taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError

Logs = npt.NDArray[np.floating]


class Companion(Protocol):
    """A language model beside the search: how likely each symbol is after the symbols so far.

    A state is whatever stands for one sequence of symbols. Scores are natural logarithms; a symbol may be free, as the
    letters of a word are to a model of words.
    """

    def start(self) -> tuple[Logs, Any]:
        """Scores (V,) of the first symbol, and the state before it."""
        ...

    def advance(self, symbols: Sequence[int], states: Sequence[Any]) -> tuple[Logs, list[Any]]:
        """Each state after its symbol: scores (N, V) of the next, and the states."""
        ...

    def ends(self, states: Sequence[Any]) -> Logs:
        """How likely it is that nothing follows, (N,)."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """Symbols and their score: log p, with the language model's share in it where there is one."""

    symbols: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Span:
    """A symbol and the steps [start, end) in which it was put out, with the mean log p of these steps."""

    symbol: int
    start: int
    end: int
    score: float


def steps_needed(target: Sequence[int] | npt.NDArray[np.integer]) -> int:
    """The fewest steps that can spell the target: one a symbol, and a blank between two that are equal."""
    symbols = np.asarray(target)
    return len(symbols) + int((symbols[1:] == symbols[:-1]).sum())


def greedy(logs: Logs, blank: int = 0) -> list[int]:
    """The symbols of the likeliest path through log p (T, V)."""
    reader = Greedy(blank)
    reader.read(logs)
    return reader.symbols


class Greedy:
    """The likeliest path, read part by part; what was put out once stays."""

    def __init__(self, blank: int = 0) -> None:
        self.blank = blank
        self.symbols: list[int] = []
        self._last = blank

    def read(self, logs: Logs) -> None:
        """The next steps, (T, V)."""
        best = logs.argmax(1)
        new = best != np.concatenate([[self._last], best[:-1]])[: len(best)]
        self.symbols += best[new & (best != self.blank)].tolist()
        self._last = int(best[-1]) if len(best) else self._last

    def save(self) -> dict[str, npt.NDArray[Any]]:
        """What `load` needs to go on here."""
        return {"symbols": np.array(self.symbols, np.int64), "last": np.array([self._last])}

    def load(self, saved: dict[str, npt.NDArray[Any]], count: int) -> None:
        """Go on where `save` was called; `count` is V. Raises ArgumentError for what cannot be."""
        if len(saved["last"]) != 1:
            raise ArgumentError("the last symbol is not one symbol; begin again")
        _check_symbols([saved["symbols"], saved["last"]], count)
        self.symbols, self._last = saved["symbols"].tolist(), int(saved["last"][0])


def prefix_beam(
    logs: Logs,
    width: int = 16,
    *,
    blank: int = 0,
    companion: Companion | None = None,
    weight: float = 0.5,
    bonus: float = 0.0,
) -> list[Hypothesis]:
    """The likeliest sequences of symbols given log p (T, V), the best first, at most `width`; see `PrefixBeam`."""
    beam = PrefixBeam(width, blank=blank, companion=companion, weight=weight, bonus=bonus)
    beam.read(logs)
    return beam.ranked()


class PrefixBeam:
    """The likeliest sequences of symbols, read part by part.

    Every prefix sums over the paths that spell it (Graves et al. 2006; Hannun et al. 2014). The score is
    log p + weight * (companion's log p) + bonus * (number of symbols). Raises ArgumentError for a width below 1.
    """

    def __init__(
        self,
        width: int = 16,
        *,
        blank: int = 0,
        companion: Companion | None = None,
        weight: float = 0.5,
        bonus: float = 0.0,
    ) -> None:
        if width < 1:
            raise ArgumentError(f"the beam is {width} wide, it must be 1 or more")
        self.width = width
        self.blank = blank
        self.companion = companion
        self.weight = weight
        self.bonus = bonus
        self._prefixes: list[tuple[int, ...]] = [()]
        # log p of the paths of each prefix (N,) that end in a blank, and of those that end in its last symbol.
        self._blanks = np.zeros(1)
        self._others = np.full(1, -np.inf)
        # What the language model adds for each next symbol (N, V), and its state; known prefixes keep theirs.
        self._extra: npt.NDArray[np.float64] | None = None
        self._states: list[Any] = [None]

    def read(self, logs: Logs) -> None:
        """The next steps, (T, V)."""
        if self._extra is None:
            self._begin(logs.shape[1])
        for row in np.asarray(logs, np.float64):
            self._step(row)

    @property
    def symbols(self) -> tuple[int, ...]:
        """The best sequence of them, were this the end."""
        return self.ranked()[0].symbols

    def save(self) -> dict[str, npt.NDArray[Any]]:
        """What `load` needs to go on here: the prefixes one after the other with their lengths, and their scores."""
        return {
            "symbols": np.array([symbol for prefix in self._prefixes for symbol in prefix], np.int64),
            "lengths": np.array([len(prefix) for prefix in self._prefixes], np.int64),
            "blanks": self._blanks.astype(np.float64),
            "others": self._others.astype(np.float64),
        }

    def load(self, saved: dict[str, npt.NDArray[Any]], count: int) -> None:
        """Go on where `save` was called; `count` is V. The companion reads every prefix again. Raises ArgumentError."""
        symbols, lengths = saved["symbols"], saved["lengths"]
        _check_symbols([symbols], count)
        rows = {len(saved[name]) for name in ("lengths", "blanks", "others")}
        if len(rows) != 1 or not 1 <= len(lengths) <= self.width or lengths.min() < 0 or lengths.sum() != len(symbols):
            raise ArgumentError("the prefixes of the beam do not fit their scores; begin again")
        ends = np.cumsum(lengths).tolist()
        starts = [end - length for end, length in zip(ends, lengths.tolist(), strict=True)]
        self._prefixes = [tuple(symbols[a:b].tolist()) for a, b in zip(starts, ends, strict=True)]
        self._blanks, self._others = saved["blanks"], saved["others"]
        self._begin(count)
        known = self._read_again()
        self._extra = np.stack([known[prefix][0] for prefix in self._prefixes])
        self._states = [known[prefix][1] for prefix in self._prefixes]

    def _read_again(self) -> dict[tuple[int, ...], tuple[npt.NDArray[np.float64], Any]]:
        """What is added for each next symbol, and the companion's state, of every prefix and all that lead to it."""
        first = self._extra if self._extra is not None else np.zeros((0, 0))
        known: dict[tuple[int, ...], tuple[npt.NDArray[np.float64], Any]] = {(): (first[0], self._states[0])}
        for length in range(1, 1 + max(map(len, self._prefixes))):
            new = sorted({prefix[:length] for prefix in self._prefixes if len(prefix) >= length})
            scores = np.full((len(new), first.shape[1]), self.bonus)
            states: list[Any] = [None] * len(new)
            if self.companion is not None:
                added = [prefix[-1] for prefix in new]
                found, states = self.companion.advance(added, [known[prefix[:-1]][1] for prefix in new])
                scores += self.weight * found
            known |= dict(zip(new, zip(scores, states, strict=True), strict=True))
        return known

    def _begin(self, symbols: int) -> None:
        self._extra = np.full((1, symbols), self.bonus)
        if self.companion is not None:
            first, state = self.companion.start()
            self._extra[0] += self.weight * first
            self._states = [state]

    def _step(self, row: npt.NDArray[np.float64]) -> None:
        """One more step: every prefix stays or grows by a symbol, and the best go on."""
        count, extra = len(self._prefixes), self._extra
        totals = np.logaddexp(self._blanks, self._others)
        last = np.array([prefix[-1] if prefix else self.blank for prefix in self._prefixes])
        grown = totals[:, None] + row + extra
        # A symbol like the last one is a new one only after a blank.
        here = np.arange(count)
        grown[here, last] += self._blanks - totals
        grown[:, self.blank] = -np.inf
        stays = np.where(last == self.blank, -np.inf, self._others + row[last])
        place = {prefix: number for number, prefix in enumerate(self._prefixes)}
        for number, prefix in enumerate(self._prefixes):
            parent = place.get(prefix[:-1]) if prefix else None
            if parent is not None:
                stays[number] = np.logaddexp(stays[number], grown[parent, prefix[-1]])
                grown[parent, prefix[-1]] = -np.inf
        self._select(totals + row[self.blank], stays, grown)

    def _select(self, blanks: Logs, stays: Logs, grown: Logs) -> None:
        """Of the prefixes that stay (N,) and those that have grown (N, V), the best `width`."""
        count, symbols = grown.shape
        scores = np.concatenate([np.logaddexp(stays, blanks), grown.ravel()])
        chosen = np.argsort(-scores, kind="stable")[: self.width]
        chosen = chosen[np.isfinite(scores[chosen])]
        kept, new = chosen[chosen < count], chosen[chosen >= count] - count
        parents, added = (new // symbols).tolist(), (new % symbols).tolist()
        self._blanks = np.concatenate([blanks[kept], np.full(len(new), -np.inf)])
        self._others = np.concatenate([stays[kept], grown[parents, added]])
        self._remember(kept.tolist(), parents, added)

    def _remember(self, kept: list[int], parents: list[int], added: list[int]) -> None:
        born = [(*self._prefixes[parent], symbol) for parent, symbol in zip(parents, added, strict=True)]
        extra = self._extra if self._extra is not None else np.zeros((0, 0))
        fresh = np.full((len(born), extra.shape[1]), self.bonus)
        states: list[Any] = [None] * len(born)
        if self.companion is not None and born:
            scores, states = self.companion.advance(added, [self._states[parent] for parent in parents])
            fresh += self.weight * scores
        self._extra = np.concatenate([extra[kept], fresh])
        self._states = [self._states[i] for i in kept] + states
        self._prefixes = [self._prefixes[i] for i in kept] + born

    def ranked(self) -> list[Hypothesis]:
        """The prefixes as they stand, the best first, each with what the language model says of an end here."""
        scores = np.logaddexp(self._blanks, self._others)
        if self.companion is not None and self._extra is not None:
            scores = scores + self.weight * np.asarray(self.companion.ends(self._states))
        order = np.argsort(-scores, kind="stable")
        return [Hypothesis(self._prefixes[i], float(scores[i])) for i in order]


def _check_symbols(arrays: Sequence[npt.NDArray[Any]], count: int) -> None:
    """ArgumentError unless all are symbols below `count`."""
    if any(len(array) and not 0 <= int(array.min()) <= int(array.max()) < count for array in arrays):
        raise ArgumentError(f"a symbol is none of the {count} that there are; begin again")


def align(logs: Logs, target: Sequence[int], blank: int = 0) -> list[Span]:
    """When each symbol of `target` is put out on the likeliest path that spells it (Viterbi), from log p (T, V).

    Raises ArgumentError where the steps are fewer than the target needs.
    """
    if len(logs) < steps_needed(target):
        raise ArgumentError(
            f"{len(logs)} steps cannot spell {len(target)} symbols, which need {steps_needed(target)}; "
            "give a shorter target or a longer input"
        )
    path = np.full(2 * len(target) + 1, blank)
    path[1::2] = target
    return _spans(_viterbi(np.asarray(logs, np.float64)[:, path], path, blank), path, logs)


def _viterbi(scores: npt.NDArray[np.float64], path: npt.NDArray[np.int64], blank: int) -> npt.NDArray[np.int64]:
    """The likeliest place in `path` at each step (T,); a blank between two unlike symbols may be passed over."""
    steps, places = scores.shape
    jumps = np.zeros(places, dtype=bool)
    jumps[2:] = (path[2:] != blank) & (path[2:] != path[:-2])
    best = np.full(places, -np.inf)
    best[:2] = scores[0, :2]
    moves = np.zeros((steps, places), dtype=np.int64)
    for step in range(1, steps):
        one = np.concatenate([[-np.inf], best[:-1]])
        two = np.where(jumps, np.concatenate([[-np.inf, -np.inf], best[:-2]])[:places], -np.inf)
        choices = np.stack([best, one, two])
        moves[step] = choices.argmax(0)
        best = choices.max(0) + scores[step]
    ends = places - 1 if places == 1 or best[-1] >= best[-2] else places - 2
    found = np.full(steps, ends)
    for step in range(steps - 1, 0, -1):
        found[step - 1] = found[step] - moves[step, found[step]]
    return found


def _spans(found: npt.NDArray[np.int64], path: npt.NDArray[np.int64], logs: Logs) -> list[Span]:
    spans = []
    for place in range(1, len(path), 2):
        steps = np.flatnonzero(found == place)
        symbol = int(path[place])
        score = float(np.mean(logs[steps, symbol]))
        spans.append(Span(symbol, int(steps[0]), int(steps[-1]) + 1, score))
    return spans
