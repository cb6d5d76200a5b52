"""Which units follow a pattern of the text, where a unit is excited, and where else a state is like this one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError
from unrolled.inspect.arrays import Flags, Floats, Shown
from unrolled.inspect.states import States, Unit

OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Following(Shown):
    """How well a unit follows a pattern: `score` is |r| for a number a step, eta for classes, which have no r (NaN)."""

    unit: Unit
    score: float
    correlation: float

    def __str__(self) -> str:
        if math.isnan(self.correlation):
            return f"{self.unit} (eta {self.score:.2f})"
        how = "high" if self.correlation > 0 else "low"
        return f"{self.unit} (|r| {self.score:.2f}, {how} where the pattern is)"


def text_patterns(labels: Sequence[str], *, every: bool = False) -> dict[str, Floats]:
    """Patterns (T,) of a text whose units are `labels`, each as it is after its unit was read.

    Inside double quotes, inside brackets (their depth), length of the line so far, letters of the word so far, capital,
    digit, space, line break, letters since the last full stop. Those that never change are
    left out, unless `every`.
    """
    reader = _Reader()
    rows = [reader.read(label) for label in labels]
    found = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in (rows[0] if rows else {})}
    return {name: values for name, values in found.items() if every or values.std() > 0}


class _Reader:
    """Goes through a text letter by letter and knows where it is."""

    def __init__(self) -> None:
        self.quoted = False
        self.depth = self.line = self.word = self.sentence = 0

    def read(self, unit: str) -> dict[str, float]:
        for letter in unit:
            self._letter(letter)
        last = unit[-1:]
        return {
            "inside quotes": float(self.quoted),
            "inside brackets": float(self.depth),
            "length of line": float(self.line),
            "position in word": float(self.word),
            "position in sentence": float(self.sentence),
            "capital": float(last.isupper()),
            "digit": float(last.isdigit()),
            "space": float(last == " "),
            "line break": float(last == "\n"),
        }

    def _letter(self, letter: str) -> None:
        if letter == '"':
            self.quoted = not self.quoted
        elif letter in "\u201c\u201d":
            self.quoted = letter == "\u201c"
        self.depth = max(0, self.depth + (letter in OPENING) - (letter in CLOSING))
        self.line = 0 if letter == "\n" else self.line + 1
        self.word = self.word + 1 if letter.isalnum() else 0
        self.sentence = 0 if letter in ".!?" else self.sentence + 1


def rank(
    values: npt.NDArray[np.floating], units: Sequence[Unit], pattern: Sequence[Any] | npt.NDArray[Any]
) -> list[Following]:
    """Units of values (N, U) by how well they follow a pattern (N,), the best first.

    Numbers: Pearson's correlation r. Classes (texts): the correlation ratio eta, the root of the share of a unit's
    variance that lies between the classes; with two classes it is |r|. Raises ArgumentError where the pattern does not
    fit or never changes.
    """
    array = np.asarray(pattern)
    if array.shape != (len(values),):
        raise ArgumentError(
            f"the pattern has the shape {array.shape}, but there are {len(values)} steps; give each one."
        )
    if len(np.unique(array)) < 2:
        raise ArgumentError(
            "the pattern is the same everywhere, so nothing can follow it; choose a part where it changes."
        )
    x = values.astype(np.float64) - values.mean(0)
    spread = np.sqrt((x**2).sum(0))
    # A unit that stands still follows nothing, and rounding must not make it do so.
    alive = spread > 1e-6 * max(1e-30, float(spread.max(initial=0.0)))
    if array.dtype.kind in "biuf":
        y = array.astype(np.float64) - array.mean()
        signed = np.where(alive, x.T @ y / np.where(alive, spread, 1.0) / np.sqrt((y**2).sum()), 0.0)
        scores = np.abs(signed)
    else:
        between = sum((array == c).sum() * x[array == c].mean(0) ** 2 for c in np.unique(array))
        scores = np.where(alive, np.sqrt(between) / np.where(alive, spread, 1.0), 0.0)
        signed = np.full(len(scores), np.nan)
    order = np.argsort(-scores, kind="stable")
    return [Following(units[i], float(scores[i]), float(signed[i])) for i in order]


def following(states: States, pattern: Sequence[Any] | npt.NDArray[Any], *, gates: bool = False) -> list[Following]:
    """All units of the states, or of the gates, by how well they follow a pattern (T,) of the same input."""
    return rank(*states.stacked("gate" if gates else "state"), pattern)


def best_followers(states: States, patterns: Mapping[str, npt.NDArray[Any]] | None = None) -> dict[str, Following]:
    """The best unit for each pattern, by default for those of the text."""
    found = text_patterns(states.labels) if patterns is None else patterns
    values, units = states.stacked()
    return {name: rank(values, units, pattern)[0] for name, pattern in found.items()}


@dataclass(frozen=True)
class Passage(Shown):
    """A stretch of steps [first, last) of input number `source`, around the step `peak` with the value `value`."""

    source: int
    first: int
    last: int
    peak: int
    value: float
    text: str


def exciting(
    inputs: Sequence[States], unit: Unit, *, count: int = 5, around: int = 20, lowest: bool = False
) -> list[Passage]:
    """The passages of some inputs in which a unit is highest (or lowest), each with the steps around its peak.

    Two peaks of one input are more than `around` steps apart.
    """
    sign = -1.0 if lowest else 1.0
    peaks: list[tuple[float, int, int]] = []
    for source, states in enumerate(inputs):
        activity = sign * states.values(unit).astype(np.float64)
        for step in np.argsort(-activity, kind="stable"):
            if all(abs(int(step) - other) > around for _, s, other in peaks if s == source):
                peaks.append((float(activity[step]), source, int(step)))
            if sum(s == source for _, s, _ in peaks) >= count:
                break
    peaks.sort(key=lambda peak: -peak[0])
    return [_passage(inputs[s], s, step, sign * value, around) for value, s, step in peaks[:count]]


def _passage(states: States, source: int, peak: int, value: float, around: int) -> Passage:
    first, last = max(0, peak - around), min(len(states), peak + around + 1)
    return Passage(source, first, last, peak, value, joined(states.labels[first:last]))


def joined(labels: Sequence[str]) -> str:
    """Labels as text: characters side by side, words and numbers with a space between."""
    plain = all(len(label) <= 1 for label in labels) or any(" " in label for label in labels)
    return ("" if plain else " ").join(labels)


@dataclass(frozen=True)
class Match(Shown):
    """A stretch like the one that was looked for: `shared` of its units are on throughout, `others` more are too."""

    source: int
    first: int
    last: int
    shared: int
    others: int
    text: str


@dataclass(frozen=True)
class StatePattern(Shown):
    """Units that are on throughout a stretch and off before and after it (Strobelt et al. 2018, LSTMVis)."""

    units: tuple[Unit, ...]
    thresholds: Floats
    length: int


def state_pattern(
    states: States, first: int, last: int, *, name: str = "h", layer: int = -1, share: float = 0.7
) -> StatePattern:
    """The pattern of the steps [first, last) of one trace: units above a threshold there and not right beside it.

    A unit's threshold is the `share` quantile of its values over the whole input, so that "on" is rare for each. Raises
    ArgumentError for a stretch that is not inside or that no unit marks.
    """
    if not 0 <= first < last <= len(states):
        raise ArgumentError(f"steps {first} to {last} are not inside the {len(states)} steps; choose others.")
    trace = states.trace(name, layer)
    thresholds = np.quantile(trace.values.astype(np.float64), share, axis=0)
    on = trace.values > thresholds
    marked = on[first:last].all(0)
    for beside in (first - 1, last):
        if 0 <= beside < len(states):
            marked &= ~on[beside]
    if not marked.any():
        raise ArgumentError(
            f"no unit of {trace} is on throughout steps {first} to {last} and off beside it; choose another stretch or "
            "a lower share."
        )
    units = tuple(Unit(trace.place, name, int(k)) for k in np.flatnonzero(marked))
    return StatePattern(units, thresholds[marked], last - first)


def matches(pattern: StatePattern, inputs: Sequence[States], *, count: int = 5) -> list[Match]:
    """Stretches of other inputs in which most of the pattern's units are on together, the likest first.

    Ranked by how many units are on throughout, then by how near the stretch's length is to the pattern's.
    """
    found: list[tuple[int, int, Match]] = []
    for source, states in enumerate(inputs):
        on = np.stack([states.values(unit) for unit in pattern.units], 1) > pattern.thresholds
        for shared in range(len(pattern.units), 0, -1):
            runs = _runs(on.sum(1) >= shared)
            found += [_match(states, source, run, on, pattern) for run in runs if _apart(run, found, source)]
            if sum(m.source == source for _, _, m in found) >= count:
                break
    found.sort(key=lambda item: (-item[0], item[1]))
    return [match for _, _, match in found[:count]]


def _apart(run: tuple[int, int], found: Sequence[tuple[int, int, Match]], source: int) -> bool:
    return all(run[1] <= m.first or run[0] >= m.last for _, _, m in found if m.source == source)


def _match(
    states: States, source: int, run: tuple[int, int], on: Flags, pattern: StatePattern
) -> tuple[int, int, Match]:
    first, last = run
    shared = int(on[first:last].all(0).sum())
    sometimes = int(on[first:last].any(0).sum())
    text = joined(states.labels[first:last])
    return shared, abs(last - first - pattern.length), Match(source, first, last, shared, sometimes - shared, text)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Stretches [first, last) of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
