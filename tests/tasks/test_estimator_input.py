from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unrolled.errors import ArgumentError
from unrolled.tasks.arrays import as_labels, as_sequences, as_targets, columns_of


def test_forms_of_sequences() -> None:
    rng = np.random.default_rng(1)
    assert as_sequences(np.array(["a", "b c"])) == ["a", "b c"]
    block = rng.normal(size=(3, 4, 2))
    np.testing.assert_allclose(as_sequences(block), block, rtol=1e-6)
    assert np.shape(as_sequences(rng.normal(size=(3, 4)).tolist())) == (3, 4, 1)
    ragged = [rng.normal(size=(n, 2)) for n in (2, 5)]
    assert [row.shape for row in as_sequences(ragged)] == [(2, 2), (5, 2)]
    assert [row.shape for row in as_sequences([[1.0], [2.0, 3.0]])] == [(1, 1), (2, 1)]
    assert columns_of(rng.normal(size=(3, 4))) == 4
    assert columns_of(ragged) is None
    assert columns_of(["a"]) is None


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ("abc", r"X is one text, a sequence of texts is needed; give \[text\]"),
        (np.float64(3), "got scalar array instead"),
        ([], "found 0 sample"),
        (["a", 3], r"X\[1\] is int among texts"),
        (["a", " "], r"X\[1\] is an empty text"),
        (np.zeros(3), "Expected 2D array, got 1D array instead. Reshape your data"),
        (np.zeros((3, 0)), r"0 feature\(s\) \(shape=\(3, 0\)\)"),
        (np.array([[1.0, np.nan]]), "X contains NaN, infinity or a value too large"),
        (np.array([[1.0, 1e300]]), "too large for float32"),
        (np.array([[1j]]), "Complex data not supported"),
        ([np.zeros((2, 2)), np.zeros((3, 1))], r"have \[1, 2\] numbers a step, they need the same"),
        (
            [np.zeros((2, 2, 2)), np.zeros((3, 1))],
            r"X\[0\] has the shape \(2, 2, 2\), a sequence is \(T,\) or \(T, F\)",
        ),
        ([[1.0], ["a", "b"]], r"X\[1\] holds <U1, numbers are needed"),
    ],
)
def test_unusable_sequences(X: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        as_sequences(X)


def test_objects_are_no_numbers() -> None:
    with pytest.raises(TypeError, match="must be a string or a number"):
        as_sequences(np.array([[{}, 1]], dtype=object))


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (["b", "a", "b"], ["b", "a", "b"]),
        (np.array([1, 0, 1]), [1, 0, 1]),
        ([{"x", "a"}, [], ["x"]], [("a", "x"), (), ("x",)]),
        (np.array([[1, 0], [0, 0], [1, 1]]), [(0,), (), (0, 1)]),
    ],
)
def test_forms_of_labels(y: Any, labels: list[Any]) -> None:
    assert as_labels(y, 3) == labels


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([1, 2], "X has 3 rows and y has 2"),
        ([0.5, 1.5, 2.0], "Unknown label type: continuous"),
        ([1.0, np.nan, 2.0], "y contains NaN or infinity"),
        ([1, 1, 1], "y holds one class only"),
        (np.array([[1, 2], [0, 0], [1, 1]]), "Unknown label type: a 2-D y must hold 0 and 1 only"),
        (np.zeros((3, 1, 1)), r"y should be a 1d array or \(n, K\)"),
    ],
)
def test_unusable_labels(y: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        as_labels(y, 3)


def test_targets() -> None:
    assert as_targets([1, 2], 2).tolist() == [[1.0], [2.0]]
    assert as_targets([[1, 2], [3, 4]], 2).tolist() == [[1, 2], [3, 4]]
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        assert as_targets([[1], [2]], 2).tolist() == [[1], [2]]
    with pytest.raises(ArgumentError, match="y contains NaN or infinity; give a finite number"):
        as_targets([np.inf, 1], 2)
    with pytest.raises(ArgumentError, match="Complex data not supported"):
        as_targets([1j, 1], 2)
