from __future__ import annotations

import numpy as np
import pytest

from unrolled.errors import ArgumentError
from unrolled.train.spans import is_span_label, per_class, span_f1, spans


def test_labels_that_mark_spans() -> None:
    assert is_span_label(["O", "B-PER", "I-PER", "S-LOC"])
    assert not is_span_label(["O"])
    assert not is_span_label(["O", "B-PER", "NOUN"])
    assert not is_span_label([0, 1])


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ("B-P I-P O B-L", {("P", 0, 2), ("L", 3, 4)}),
        ("B-P B-P I-L", {("P", 0, 1), ("P", 1, 2), ("L", 2, 3)}),
        ("O I-P I-P", {("P", 1, 3)}),
        ("B-P I-P E-P I-P S-P U-L", {("P", 0, 3), ("P", 3, 4), ("P", 4, 5), ("L", 5, 6)}),
        ("O O", set()),
    ],
)
def test_spans_by_the_rules_of_conlleval(labels: str, wanted: set[tuple[str, int, int]]) -> None:
    assert spans(labels.split()) == wanted


def test_span_f1_needs_kind_and_both_ends() -> None:
    truth = [["B-P", "I-P", "O", "B-L"], ["O", "B-L"]]
    answer = [["B-P", "O", "O", "B-L"], ["O", "B-P"]]
    assert span_f1(truth, answer) == pytest.approx(2 * 1 / (3 + 3))
    assert span_f1(truth, truth) == 1
    assert span_f1([["O"]], [["O"]]) == 1
    with pytest.raises(ArgumentError, match="differ in their lengths"):
        span_f1(truth, answer[:1])


def test_per_class_is_what_scikit_learn_says() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    truth, answer = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    wanted = metrics.precision_recall_fscore_support(truth, answer)
    found = per_class(truth, answer, 4)
    for place, name in enumerate(("precision", "recall", "f1", "count")):
        np.testing.assert_allclose([row[name] for row in found], wanted[place])
    # a label that was never seen in training is an error of what was answered
    assert per_class([-100, 0], [0, 0], 1)[0]["precision"] == 0.5
