from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from unrolled.decode.ctc import Greedy, PrefixBeam, align, greedy, prefix_beam, steps_needed
from unrolled.errors import ArgumentError

Logs = npt.NDArray[np.float64]


def random_logs(rng: np.random.Generator, steps: int, symbols: int, sharp: float = 1.5) -> Logs:
    scores = sharp * rng.normal(size=(steps, symbols))
    found: Logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return found


def collapse(path: Sequence[int], blank: int) -> tuple[int, ...]:
    kept = [symbol for place, symbol in enumerate(path) if place == 0 or symbol != path[place - 1]]
    return tuple(symbol for symbol in kept if symbol != blank)


def every_path(logs: Logs) -> list[tuple[tuple[int, ...], float]]:
    steps, symbols = logs.shape
    paths = product(range(symbols), repeat=steps)
    return [(path, float(sum(logs[t, s] for t, s in enumerate(path)))) for path in paths]


def by_sum(logs: Logs, blank: int) -> dict[tuple[int, ...], float]:
    found: dict[tuple[int, ...], float] = {}
    for path, log in every_path(logs):
        symbols = collapse(path, blank)
        found[symbols] = float(np.logaddexp(found.get(symbols, -np.inf), log))
    return found


class Bigrams:
    """A language model whose state is the symbols so far, so that a wrong state shows."""

    def __init__(self, rng: np.random.Generator, symbols: int) -> None:
        self.first = random_logs(rng, 1, symbols)[0]
        self.after = random_logs(rng, symbols, symbols)
        self.end = rng.normal(size=symbols + 1)

    def start(self) -> tuple[Logs, Any]:
        return self.first, ()

    def advance(self, symbols: Sequence[int], states: Sequence[Any]) -> tuple[Logs, list[Any]]:
        return self.after[list(symbols)], [(*state, symbol) for symbol, state in zip(symbols, states, strict=True)]

    def ends(self, states: Sequence[Any]) -> Logs:
        return np.array([self.end[state[-1] if state else -1] for state in states])

    def whole(self, symbols: tuple[int, ...]) -> float:
        if not symbols:
            return float(self.end[-1])
        pairs = sum(self.after[a, b] for a, b in pairwise(symbols))
        return float(self.first[symbols[0]] + pairs + self.end[symbols[-1]])


@pytest.mark.parametrize(("steps", "symbols", "blank"), [(1, 3, 0), (4, 3, 0), (5, 3, 2), (6, 2, 1), (4, 4, 1)])
def test_a_beam_wide_enough_gives_the_sum_over_all_paths(steps: int, symbols: int, blank: int) -> None:
    rng = np.random.default_rng((steps, symbols))
    logs = random_logs(rng, steps, symbols)
    truth = by_sum(logs, blank)
    found = prefix_beam(logs, 10_000, blank=blank)
    assert {h.symbols for h in found} == set(truth)
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(truth[hypothesis.symbols], abs=1e-9)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_the_language_model_is_joined_in_at_its_weight() -> None:
    rng = np.random.default_rng(5)
    logs = random_logs(rng, 5, 4)
    model = Bigrams(rng, 4)
    truth = {s: log + 0.7 * model.whole(s) - 0.3 * len(s) for s, log in by_sum(logs, 0).items()}
    found = prefix_beam(logs, 10_000, companion=model, weight=0.7, bonus=-0.3)
    assert {h.symbols: pytest.approx(h.score, abs=1e-9) for h in found} == truth
    assert found[0].symbols == max(truth, key=truth.__getitem__)
    alone = prefix_beam(logs, 10_000)[0].symbols
    assert prefix_beam(logs, 10_000, companion=model, weight=0.0)[0].symbols == alone
    assert len(prefix_beam(logs, 10_000, bonus=4.0)[0].symbols) >= len(alone)


def test_a_narrow_beam_keeps_the_best_and_never_claims_too_much() -> None:
    rng = np.random.default_rng(8)
    better = 0
    for _ in range(30):
        logs = random_logs(rng, 7, 3)
        truth = by_sum(logs, 0)
        found = prefix_beam(logs, 4)
        assert len(found) <= 4
        assert all(h.score <= truth[h.symbols] + 1e-9 for h in found)
        best = max(truth.values())
        better += truth[found[0].symbols] == pytest.approx(best)
    assert better >= 25


def test_greedy_joins_repeats_and_takes_blanks_out() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        logs = random_logs(rng, 6, 3)
        best = max(every_path(logs), key=lambda item: item[1])[0]
        assert greedy(logs, blank=1) == list(collapse(best, 1))
    assert greedy(np.zeros((0, 3))) == []
    assert prefix_beam(np.zeros((0, 3)))[0].symbols == ()


def test_reading_part_by_part_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        logs = random_logs(rng, 9, 3)
        model = Bigrams(rng, 3)
        one, beam = Greedy(), PrefixBeam(5, companion=model)
        for part in (logs[:0], logs[:2], logs[2:3], logs[3:]):
            one.read(part)
            beam.read(part)
        assert one.symbols == greedy(logs)
        assert beam.ranked() == prefix_beam(logs, 5, companion=model)
        assert beam.symbols == beam.ranked()[0].symbols


@pytest.mark.parametrize("target", [(1,), (1, 1), (2, 1, 2), (1, 1, 2), ()])
def test_alignment_is_the_likeliest_path_that_spells_the_target(target: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(target))
    for _ in range(10):
        logs = random_logs(rng, 6, 3)
        truth = max((log, path) for path, log in every_path(logs) if collapse(path, 0) == target)
        spans = align(logs, target)
        assert [span.symbol for span in spans] == list(target)
        path = [0] * 6
        for span in spans:
            path[span.start : span.end] = [span.symbol] * (span.end - span.start)
            assert span.score == pytest.approx(logs[span.start : span.end, span.symbol].mean())
        assert sum(logs[t, s] for t, s in enumerate(path)) == pytest.approx(truth[0])


def test_steps_that_a_target_needs() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        target = rng.integers(1, 3, size=rng.integers(0, 5))
        spelt = [n for n in range(8) if any(collapse(p, 0) == tuple(target) for p in product(range(3), repeat=n))]
        assert steps_needed(target) == spelt[0]


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="the beam is 0 wide, it must be 1 or more"):
        prefix_beam(np.zeros((2, 3)), 0)
    with pytest.raises(ArgumentError, match="2 steps cannot spell 2 symbols, which need 3"):
        align(np.zeros((2, 3)), (1, 1))
