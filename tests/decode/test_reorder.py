"""Orders of jumbled words against all permutations, under a recurrent model whose numbers are drawn by chance."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from unrolled.decode.reorder import Jumble, Reorder, Spelling
from unrolled.errors import ArgumentError

UNITS = 9
SPACE, MARK, END, OTHER_END = 5, 6, 7, 8


class Model:
    """An Elman network over units; its states are rows of an array."""

    def __init__(self, seed: int, sharpness: float = 3.0) -> None:
        rng = np.random.default_rng(seed)
        self.inputs, self.recurrent, self.output = (rng.normal(size=s) for s in ((UNITS, 6), (6, 6), (6, UNITS)))
        self.sharpness = sharpness
        self.rows: list[int] = []

    def logs(self, state: Any) -> Any:
        logits = self.sharpness * state @ self.output
        return logits - np.logaddexp.reduce(logits, -1, keepdims=True)

    def __call__(self, units: Any, parts: Any) -> Any:
        before = np.concatenate([state[rows] for state, rows in parts])
        self.rows.append(len(units))
        state = np.tanh(self.inputs[units] + before @ self.recurrent)
        return self.logs(state), state

    def start(self) -> Any:
        state = np.zeros((1, 6))
        return self.logs(state), state

    def cost(self, units: list[int], ends: tuple[int, ...]) -> float:
        """By hand, unit by unit."""
        (logs, state), total = self.start(), 0.0
        for unit in units:
            total -= logs[0, unit]
            logs, state = self(np.array([unit]), [(state, np.array([0]))])
        return float(total - np.logaddexp.reduce(logs[0, list(ends)])) if ends else float(total)


def jumble(seed: int, words: int, *, repeated: bool = False, mark: bool = True, ends: bool = True) -> Jumble:
    """Words of one to three letters, some with a second spelling, some that begin alike."""
    rng = np.random.default_rng(seed)
    names: dict[str, None] = {}
    while len(names) < words:
        names.setdefault("".join(rng.choice(list("abcd"), size=rng.integers(1, 4))))
    spelled = [[name, name[::-1] + "a"] if place % 2 else [name] for place, name in enumerate(names)]
    first = tuple(tuple(Spelling(text, units(text)) for text in texts[:1]) for texts in spelled)
    later = tuple(tuple(Spelling(text, (SPACE, *units(text))) for text in texts) for texts in spelled)
    counts = (2, *[1] * (words - 1)) if repeated else (1,) * words
    return Jumble(counts, first, later, (MARK,) if mark else (), (END, OTHER_END) if ends else ())


def units(text: str) -> tuple[int, ...]:
    return tuple("abcd".index(letter) for letter in text)


def by_hand(model: Model, given: Jumble) -> list[tuple[float, tuple[str, ...]]]:
    """Every order in its cheapest spelling, the cheapest first."""
    slots = [word for word, count in enumerate(given.counts) for _ in range(count)]
    found = []
    for order in set(permutations(slots)):
        choices = [given.first[order[0]], *(given.later[word] for word in order[1:])]
        costs = []
        for spellings in product(*choices):
            written = [unit for spelling in spellings for unit in spelling.units]
            texts = tuple(spelling.text for spelling in spellings)
            costs.append((model.cost([*written, *given.mark], given.ends), texts))
        found.append(min(costs))
    return sorted(found)


CASES = [
    {"words": 1},
    {"words": 2, "mark": False},
    {"words": 4, "ends": False},
    {"words": 4, "repeated": True, "mark": False, "ends": False},
    {"words": 5},
    {"words": 4, "repeated": True},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_exact_orders_are_the_best_of_all_permutations(case: dict[str, Any], seed: int) -> None:
    given = jumble(seed, **case)
    wanted = by_hand(Model(seed), given)
    for best in (1, 4):
        found = Reorder(given, Model(seed), Model(seed).start()).exact(best)
        assert [order.nats for order in found] == pytest.approx([cost for cost, _ in wanted[:best]])
        assert [order.words for order in found] == [texts for _, texts in wanted[:best]]
        assert all(order.proven for order in found)


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_the_tree_finds_the_same(seed: int) -> None:
    given = jumble(seed, 4, repeated=True)
    found = Reorder(given, Model(seed), Model(seed).start()).beam(3, width=1000)
    assert [order.nats for order in found] == pytest.approx([cost for cost, _ in by_hand(Model(seed), given)[:3]])
    assert not any(order.proven for order in found)


def test_the_proof_reads_a_small_part_of_the_tree_and_reads_it_in_batches() -> None:
    given = jumble(1, 7, ends=False)
    model = Model(1, sharpness=12.0)
    search = Reorder(given, model, model.start())
    (order,) = search.exact()
    everything = Reorder(given, Model(1), Model(1).start())
    everything.beam(width=10**6)
    assert order.proven
    assert sum(model.rows) == search.steps < 0.1 * everything.steps
    assert max(model.rows) > 20


def test_a_search_that_is_cut_short_proves_nothing() -> None:
    given = jumble(2, 6)
    model = Model(2, sharpness=0.1)
    (order,) = Reorder(given, model, model.start()).exact(most=3000)
    assert not order.proven
    assert order.nats >= Reorder(given, Model(2, 0.1), Model(2, 0.1).start()).exact()[0].nats


def test_a_narrow_beam_often_finds_the_best_and_never_better() -> None:
    worse = []
    for seed in range(8):
        given = jumble(seed, 6)
        exact = Reorder(given, Model(seed), Model(seed).start()).exact()[0].nats
        worse.append(Reorder(given, Model(seed), Model(seed).start()).beam(width=60)[0].nats - exact)
    assert min(worse) > -1e-9
    assert sum(gap < 1e-9 for gap in worse) >= 4


def test_bad_jumbles_are_refused() -> None:
    with pytest.raises(ArgumentError, match="there is no word to put in order"):
        Jumble((), (), ())
    with pytest.raises(ArgumentError, match="the word 'x' has no unit that the model reads"):
        Jumble((1,), ((Spelling("x", ()),),), ((Spelling("x", (1,)),),))
    model = Model(0)
    with pytest.raises(ArgumentError, match="best=0 and width=3 find nothing"):
        Reorder(jumble(0, 2), model, model.start()).beam(0, 3)
