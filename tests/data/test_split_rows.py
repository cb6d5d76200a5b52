from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import shared_rows, split_rows
from unrolled.errors import ArgumentError, DataError

FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32)


def check_parts(n: int, train: np.ndarray, held: np.ndarray) -> None:
    assert len(train) > 0
    assert len(held) > 0
    assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(n))
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()


@given(st.integers(2, 200), FRACTIONS, SEEDS)
def test_two_parts_of_the_right_size(n: int, fraction: float, seed: int) -> None:
    train, held = split_rows(n, fraction, seed)
    check_parts(n, train, held)
    assert abs(len(held) - n * fraction) <= 1


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=80), FRACTIONS, SEEDS)
def test_labels_are_held_out_in_proportion(labels: list[str], fraction: float, seed: int) -> None:
    train, held = split_rows(len(labels), fraction, seed, labels=labels)
    check_parts(len(labels), train, held)
    counts = Counter(labels)
    held_counts = Counter(labels[row] for row in held)
    if max(counts.values()) > 1:
        assert set(labels) == {labels[row] for row in train}
        if len(held) > 1:
            for label, count in counts.items():
                assert held_counts[label] <= count - 1
                assert abs(held_counts[label] - count * fraction) <= 1


@given(st.lists(st.integers(0, 9), min_size=2, max_size=80), FRACTIONS, SEEDS, st.booleans())
def test_no_group_is_in_two_parts(groups: list[int], fraction: float, seed: int, labelled: bool) -> None:
    if len(set(groups)) == 1:
        groups[0] += 1
    labels = [str(group % 3) for group in groups] if labelled else None
    train, held = split_rows(len(groups), fraction, seed, groups=groups, labels=labels)
    check_parts(len(groups), train, held)
    assert not {groups[row] for row in train} & {groups[row] for row in held}


def test_groups_come_near_the_fraction() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 2000).tolist()
    labels = [("a", "b")[group % 2] for group in groups]
    _, held = split_rows(2000, 0.2, 1, groups=groups, labels=labels)
    assert abs(len(held) - 400) < 20
    assert abs(sum(labels[row] == "a" for row in held) - 0.2 * labels.count("a")) < 15


@pytest.mark.parametrize("options", [{}, {"labels": ["a", "b"] * 50}, {"groups": [row // 4 for row in range(100)]}])
def test_a_split_is_a_function_of_its_seed(options: dict[str, Any]) -> None:
    first, again, other = (split_rows(100, 0.2, seed, **options)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(DataError, match="all rows belong to one group"):
        split_rows(3, 0.5, 0, groups=["x"] * 3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((10, 0.0, 0), "0.0 of the rows cannot be held out to validate on; give a share between 0 and 1"),
        ((10, 1.0, 0), "1.0 of the rows cannot be held out"),
        ((1, 0.5, 0), "two parts cannot be made of 1 row; give at least 2"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[int, float, int], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        split_rows(*arguments)
    with pytest.raises(ArgumentError, match="2 labels for 3 rows; give one for each row"):
        split_rows(3, 0.5, 0, labels=["a", "b"])


def test_shared_rows_are_counted() -> None:
    assert shared_rows(["a", "b", "b"], ["b", "c", "b", "a"]) == 3
    assert shared_rows([("a", 1)], [("a", 2)]) == 0
