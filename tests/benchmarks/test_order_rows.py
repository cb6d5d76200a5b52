"""The simplest baseline of word order: the best order under counts of neighbouring words."""

from __future__ import annotations

import importlib
import random
from itertools import pairwise, permutations
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("rows.order")


def test_the_best_order_under_counts_is_the_best_of_all(order: ModuleType) -> None:
    chance = random.Random(3)
    texts = [" ".join(chance.choices("abcd", k=6)) for _ in range(40)]
    counts = order.neighbours(texts)
    for _ in range(5):
        words = chance.choices("abcde", k=5)

        def cost(path: tuple[str, ...]) -> float:
            places = ["", *path, ""]
            find = order._costs(places, counts)
            return sum(find(*pair) for pair in pairwise(range(len(places))))

        found = order.by_neighbours(" ".join(words), counts)
        assert sorted(found.split()) == sorted(words)
        assert cost(tuple(found.split())) == pytest.approx(min(map(cost, permutations(words))))


def test_capitals_and_final_marks_are_no_help(order: ModuleType) -> None:
    assert order.plain("He, she. AND they?!") == "he, she and they"
    assert order.plain("...") == "..."
