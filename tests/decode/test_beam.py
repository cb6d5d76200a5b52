from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unrolled.decode import Advance, BeamSearch, Hypothesis, log_softmax
from unrolled.errors import ArgumentError

END, START, VOCABULARY, PLACES = 0, 9, 4, 3
WIDE = VOCABULARY**4

rates = st.sampled_from([0.0, 0.3, 1.0])
seeds = st.integers(0, 10**6)


class Model:
    """Random log-probabilities and attention for every prefix; its state is the prefixes themselves."""

    def __init__(self, seed: int, sharp: float = 2.0) -> None:
        self.seed = seed
        self.sharp = sharp
        self.asked = 0

    def says(self, prefix: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        rng = np.random.default_rng((self.seed, *prefix))
        return log_softmax(self.sharp * rng.normal(size=VOCABULARY)), rng.dirichlet(np.full(PLACES, 0.3))

    def step(self, tokens: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], state: list[tuple[int, ...]]) -> Advance:
        self.asked += len(tokens)
        prefixes = [(*state[row], int(token)) for token, row in zip(tokens, rows, strict=True)]
        logs, looked = zip(*map(self.says, prefixes), strict=True)
        return Advance(np.stack(logs), prefixes, np.stack(looked))


def exhaustive(
    model: Model, search: BeamSearch, first: tuple[int, ...], longest: int, places: int = PLACES
) -> list[Hypothesis]:
    """Every sequence of up to `longest` tokens, the best first."""
    found = []
    for length in range(longest + 1):
        for tokens in product([t for t in range(VOCABULARY) if t != END], repeat=length):
            said = [model.says((*first, *tokens[:t])) for t in range(length + 1)]
            total = sum(logs[token] for (logs, _), token in zip(said, (*tokens, END), strict=True))
            attention = np.stack([looked for _, looked in said])[:, :places]
            penalty = np.log(np.clip(attention.sum(0), 1e-10, 1)).sum()
            score = total / ((5 + length + 1) / 6) ** search.length_penalty + search.coverage_penalty * penalty
            found.append(Hypothesis(tokens, float(total), float(score), attention))
    return sorted(found, key=lambda h: -h.score)


@given(seeds, rates, rates, st.integers(1, 4), st.integers(0, 3))
def test_a_wide_beam_is_exhaustive_search(seed: int, length: float, coverage: float, best: int, longest: int) -> None:
    search = BeamSearch(END, WIDE, length_penalty=length, coverage_penalty=coverage, best=best)
    model = Model(seed)
    (found,) = search.search([START], [()], model.step, longest)
    wanted = exhaustive(model, search, (START,), longest)[:best]
    assert [h.tokens for h in found] == [h.tokens for h in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.score == pytest.approx(theirs.score)
        assert ours.log_probability == pytest.approx(theirs.log_probability)
        np.testing.assert_allclose(ours.attention, theirs.attention)


@given(seeds, rates, rates, st.integers(1, 6), st.data())
def test_stopping_early_changes_no_answer(
    seed: int, length: float, coverage: float, width: int, data: st.DataObject
) -> None:
    best = data.draw(st.integers(1, width))
    answers, asked = [], []
    for early in (True, False):
        model = Model(seed, sharp=4.0)
        search = BeamSearch(END, width, length, coverage, best, stop_early=early)
        answers.append([h.tokens for h in search.search([START], [()], model.step, 8)[0]])
        asked.append(model.asked)
    assert answers[0] == answers[1]
    assert asked[0] <= asked[1]


def test_stopping_early_saves_steps() -> None:
    asked = {}
    for early in (True, False):
        model = Model(1, sharp=4.0)
        BeamSearch(END, 3, stop_early=early).search([START] * 20, [(i,) for i in range(20)], model.step, 20)
        asked[early] = model.asked
    assert asked[True] < asked[False] / 2


@given(seeds, st.integers(1, 5))
def test_rows_of_a_batch_do_not_know_each_other(seed: int, width: int) -> None:
    search = BeamSearch(END, width, coverage_penalty=0.2, best=width)
    model, limits, places = Model(seed), [4, 0, 7, 2], [3, 1, 2, 3]
    firsts = [(i,) for i in range(4)]
    together = search.search([START] * 4, firsts, model.step, limits, places)
    for i in range(4):
        (alone,) = search.search([START], [firsts[i]], model.step, limits[i], [places[i]])
        assert [h.tokens for h in together[i]] == [h.tokens for h in alone]
        assert [h.score for h in together[i]] == pytest.approx([h.score for h in alone])


def test_coverage_counts_the_real_places_alone() -> None:
    search = BeamSearch(END, WIDE, coverage_penalty=1.0)
    model = Model(5)
    ((found,),) = search.search([START], [()], model.step, 2, [2])
    wanted = exhaustive(model, search, (START,), 2, places=2)[0]
    assert found.tokens == wanted.tokens and found.score == pytest.approx(wanted.score)
    assert found.attention is not None and found.attention.shape == (len(found.tokens) + 1, 2)


@given(seeds)
@example(465)
def test_a_beam_of_one_takes_the_likeliest_token(seed: int) -> None:
    model = Model(seed)
    # A reward for length could prefer what the second likeliest token begins where the likeliest is the end.
    ((found,),) = BeamSearch(END, 1, length_penalty=0.0).search([START], [()], model.step, 6)
    prefix: tuple[int, ...] = (START,)
    while len(prefix) <= 6 and (token := int(model.says(prefix)[0].argmax())) != END:
        prefix = (*prefix, token)
    assert found.tokens == prefix[1:]


def test_tokens_of_probability_zero_are_never_taken() -> None:
    def step(tokens: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], state: None) -> Advance:
        return Advance(np.tile([np.log(0.2), -np.inf, np.log(0.8)], (len(tokens), 1)), state)

    found = BeamSearch(END, 5, best=5).search([1, 1], None, step, 3)
    assert {token for answers in found for h in answers for token in h.tokens} == {2}


def test_what_ends_leaves_its_place_to_what_goes_on() -> None:
    def step(tokens: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], state: None) -> Advance:
        return Advance(np.log([[0.6, 0.3, 0.1]] * len(tokens)), state)

    ((found,),) = BeamSearch(END, 1, length_penalty=9.0).search([1], None, step, 5)
    assert found.tokens == (1,) * 5


def test_no_rows_no_answers() -> None:
    assert BeamSearch(END).search([], [], Model(0).step, 4) == []


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="beam width 0 with the 1 best asked for"):
        BeamSearch(END, 0)
    with pytest.raises(ArgumentError, match="beam width 2 with the 3 best asked for"):
        BeamSearch(END, 2, best=3)
    for name in ("length_penalty", "coverage_penalty"):
        with pytest.raises(ArgumentError, match=f"{name} is -1"):
            BeamSearch(END, **{name: -1.0})
