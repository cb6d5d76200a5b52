from __future__ import annotations

import warnings

import numpy as np
import pytest

from unrolled.errors import ArgumentError
from unrolled.train.edits import character_error_rate, edit_distance, word_error_rate


def by_recursion(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    same = by_recursion(a[1:], b[1:]) + (a[0] != b[0])
    return min(same, by_recursion(a[1:], b) + 1, by_recursion(a, b[1:]) + 1)


def random_texts(rng: np.random.Generator, count: int, longest: int) -> list[str]:
    return ["".join(rng.choice(list("ab "), size=rng.integers(0, longest))) for _ in range(count)]


def test_edit_distance_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    texts = random_texts(rng, 40, 6)
    for a, b in zip(texts[::2], texts[1::2], strict=True):
        assert edit_distance(a, b) == by_recursion(a, b)
    assert edit_distance([], []) == 0
    assert edit_distance(("x", 3), (3,)) == 1


def test_rates_are_those_of_jiwer() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        jiwer = pytest.importorskip("jiwer")
    rng = np.random.default_rng(1)
    truths = [f"a{text.strip()}" for text in random_texts(rng, 50, 20)]
    answers = [f"b{text.strip()}" for text in random_texts(rng, 50, 20)]
    assert character_error_rate(truths, answers) == pytest.approx(jiwer.cer(truths, answers))
    assert word_error_rate(truths, answers) == pytest.approx(jiwer.wer(truths, answers))


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="2 truths and 1 answers"):
        word_error_rate(["a", "b"], ["a"])
    with pytest.raises(ArgumentError, match="the truths are all empty"):
        character_error_rate(["", ""], ["a", ""])
