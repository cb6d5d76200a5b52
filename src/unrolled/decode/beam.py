"""Beam search over a batch of sequences, for any model that can be asked for its next step. NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError

S = TypeVar("S")
Floats = npt.NDArray[np.floating]
Ids = npt.NDArray[np.int64]

# A place that was never looked at would cost minus infinity.
_LEAST_COVERAGE = 1e-10


class Advance(NamedTuple, Generic[S]):
    """What a model says of its next token: log-probabilities (N, V), its state, and where it looked, (N, places)."""

    log_probabilities: Floats
    state: S
    attention: Floats | None = None


# (tokens (N,), rows (N,), state): reads tokens[n] in the state of row rows[n], which may be named more than once.
Step = Callable[[Ids, Ids, S], Advance[S]]


@dataclass(frozen=True)
class Hypothesis:
    """A finished answer: its tokens without the end, log p, its score, and where each token and the end looked."""

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    attention: Floats | None = None


@dataclass(frozen=True)
class _Live:
    """A hypothesis that goes on; `row` is its place in the batch that the last step returned."""

    row: int
    tokens: tuple[int, ...] = ()
    log_probability: float = 0.0
    attention: tuple[Floats, ...] = ()


@dataclass(frozen=True)
class BeamSearch:
    """The best-scored token sequences Y of each row, `width` of them followed at a time (Wu et al. 2016, eq. 14).

    score(Y) = log p(Y) / ((5 + |Y|) / 6)^length_penalty + coverage_penalty * sum_i log min(sum_t a_ti, 1)

    |Y| counts the `end` token; a_ti is how much step t looked at place i of the input. A row ends when nothing that is
    still open can overtake its `best` finished ones: log p only falls, the divisor is largest at the row's greatest
    length, and the coverage term is at most 0. Where the width leaves nothing out, that is the best of all sequences.
    Raises ArgumentError for a value out of range.
    """

    end: int
    width: int = 5
    length_penalty: float = 0.6
    coverage_penalty: float = 0.0
    best: int = 1
    stop_early: bool = True

    def __post_init__(self) -> None:
        if self.width < 1 or not 1 <= self.best <= self.width:
            raise ArgumentError(
                f"beam width {self.width} with the {self.best} best asked for; give a width of 1 or more, and at most "
                "as many answers."
            )
        for name in ("length_penalty", "coverage_penalty"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ArgumentError(f"{name} is {getattr(self, name)}; give a number of 0 or more.")

    def search(
        self,
        start: Sequence[int] | Ids,
        state: S,
        step: Step[S],
        longest: int | Sequence[int] | Ids,
        places: Sequence[int] | Ids | None = None,
    ) -> list[list[Hypothesis]]:
        """Up to `best` hypotheses for each row, the best first, from the token `start` (B,) and the rows of `state`.

        `longest` is the most tokens before the end, one number or one a row (B,); there the end is all that is left.
        `places` (B,) says how many places of the input are real, for the coverage; None: all.
        """
        count = len(start)
        limits = np.broadcast_to(np.asarray(longest), (count,))
        sizes: list[int | None] = [None] * count if places is None else [int(n) for n in places]
        live = {row: [_Live(row)] for row in range(count)}
        found: list[list[Hypothesis]] = [[] for _ in range(count)]
        tokens, rows = np.asarray(start, dtype=np.int64), np.arange(count)
        while live:
            said = step(tokens, rows, state)
            state = said.state
            for row, beam in list(live.items()):
                live[row] = self._grow(beam, said, int(limits[row]), sizes[row], found[row])
                if not live[row] or (self.stop_early and self._settled(live[row], found[row], int(limits[row]))):
                    del live[row]
            follow = [one for beam in live.values() for one in beam]
            tokens = np.array([one.tokens[-1] for one in follow], dtype=np.int64)
            rows = np.array([one.row for one in follow], dtype=np.int64)
            places_in_batch = iter(range(len(follow)))
            live = {row: [replace(one, row=next(places_in_batch)) for one in beam] for row, beam in live.items()}
        return found

    def score(self, log_probability: float, length: int, attention: Floats | None = None) -> float:
        """The score of `length` tokens, the end counted, whose steps looked at the input as `attention` (T, places)."""
        score = log_probability / float(((5 + length) / 6) ** self.length_penalty)
        if attention is not None and self.coverage_penalty:
            covered = np.clip(attention.sum(0), _LEAST_COVERAGE, 1)
            score += self.coverage_penalty * float(np.log(covered).sum())
        return score

    def _grow(
        self, beam: list[_Live], said: Advance[S], longest: int, places: int | None, found: list[Hypothesis]
    ) -> list[_Live]:
        """The beam one token later; what ended among its best goes into `found`."""
        candidates: list[tuple[float, int, _Live]] = []
        for one in beam:
            logs = said.log_probabilities[one.row]
            # One of them may be the end, and as many as the beam is wide can go on.
            likely = [self.end] if len(one.tokens) >= longest else _largest(logs, self.width + 1)
            candidates += [(one.log_probability + float(logs[token]), token, one) for token in likely]
        candidates.sort(key=lambda c: -c[0])
        grown: list[_Live] = []
        for rank, (total, token, one) in enumerate(candidates):
            if len(grown) == self.width or not np.isfinite(total):
                break
            looked = one.attention
            if said.attention is not None:
                looked = (*looked, said.attention[one.row, :places])
            if token != self.end:
                grown.append(_Live(one.row, (*one.tokens, token), total, looked))
            elif rank < self.width:
                self._finish(replace(one, log_probability=total, attention=looked), found)
        return grown

    def _finish(self, one: _Live, found: list[Hypothesis]) -> None:
        attention = np.stack(one.attention) if one.attention else None
        score = self.score(one.log_probability, len(one.tokens) + 1, attention)
        found.append(Hypothesis(one.tokens, one.log_probability, score, attention))
        found.sort(key=lambda h: -h.score)
        del found[self.best :]

    def _settled(self, beam: list[_Live], found: list[Hypothesis], longest: int) -> bool:
        if len(found) < self.best:
            return False
        return found[-1].score >= self.score(max(one.log_probability for one in beam), longest + 1)


def _largest(logs: Floats, count: int) -> list[int]:
    """The places of the `count` largest of logs (V,)."""
    if count >= len(logs):
        return list(range(len(logs)))
    places: list[int] = np.argpartition(logs, -count)[-count:].tolist()
    return places
