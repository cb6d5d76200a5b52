"""Metrics against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import ArgumentError
from unrolled.train import accuracy, bits_per_character, confusion_matrix, macro_f1, mae, mse, perplexity

# It warns where there is only one class.
pytestmark = pytest.mark.filterwarnings("ignore:A single label:UserWarning")
oracle = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle of these tests")
cases = given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6))


@settings(deadline=None, max_examples=60)
@cases
def test_one_label_a_row(seed, rows, classes):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(classes, size=(2, rows))
    assert accuracy(truth, predicted) == pytest.approx(oracle.accuracy_score(truth, predicted))
    expected = oracle.f1_score(truth, predicted, average="macro", zero_division=0)
    assert macro_f1(truth, predicted) == pytest.approx(expected)
    table = oracle.confusion_matrix(truth, predicted, labels=range(classes))
    assert np.array_equal(confusion_matrix(truth, predicted, classes), table)


@settings(deadline=None, max_examples=60)
@cases
def test_several_labels_a_row(seed, rows, classes):
    rng = np.random.default_rng(seed)
    truth, predicted = (rng.random((2, rows, classes + 1)) < rng.random()).astype(int)
    assert accuracy(truth, predicted) == pytest.approx(oracle.accuracy_score(truth, predicted))
    expected = oracle.f1_score(truth, predicted, average="macro", zero_division=0)
    assert macro_f1(truth, predicted) == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@cases
def test_numbers(seed, rows, columns):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.normal(size=(2, rows, columns)).astype(np.float32)
    assert mse(truth, predicted) == pytest.approx(oracle.mean_squared_error(truth, predicted), rel=1e-4)
    assert mae(truth, predicted) == pytest.approx(oracle.mean_absolute_error(truth, predicted), rel=1e-4)


def test_labels_may_be_words_and_tensors():
    assert macro_f1(["a", "b", "b"], ["a", "b", "a"]) == pytest.approx(2 / 3)
    assert accuracy(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 0, 0])) == 0.5


def test_perplexity_and_bits():
    rng = np.random.default_rng(0)
    p = rng.random(50)
    loss = float(-np.log(p).mean())
    assert perplexity(loss) == pytest.approx(1 / np.exp(np.log(p).mean()))
    assert perplexity(1e6) == math.inf
    # Tokens of three characters each share their bits.
    assert bits_per_character(loss, tokens=50, characters=150) == pytest.approx(-np.log2(p).sum() / 150)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentError, match=r"truth has shape \(3,\) and prediction \(2,\)"):
        accuracy([1, 2, 3], [1, 2])
    with pytest.raises(ArgumentError, match="at least one entry"):
        mse([], [])
    with pytest.raises(ArgumentError, match="class numbers from 0 to 5"):
        confusion_matrix([0, 1], [5, 1], 3)
    with pytest.raises(ArgumentError, match="0 characters cannot share bits"):
        bits_per_character(1.0, 3, 0)
