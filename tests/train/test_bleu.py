from __future__ import annotations

import random

import pytest

from unrolled.errors import ArgumentError
from unrolled.train.bleu import bleu_scores, words_and_marks


def sentences(rng: random.Random, words: int, count: int) -> list[str]:
    return [" ".join(rng.choice("abcdefg") for _ in range(rng.randint(1, words))) for _ in range(count)]


@pytest.mark.parametrize("references", [1, 2, 5])
@pytest.mark.parametrize("longest", [6, 14])
def test_bleu_is_that_of_sacrebleu(references: int, longest: int) -> None:
    oracle = pytest.importorskip("sacrebleu.metrics")
    rng = random.Random(longest + references)
    answers = sentences(rng, longest, 30)
    several = [sentences(rng, longest, references) for _ in answers]
    found = bleu_scores([text.split() for text in answers], [[one.split() for one in row] for row in several])
    for n in range(1, 5):
        metric = oracle.BLEU(max_ngram_order=n, smooth_method="none", tokenize="none")
        expected = metric.corpus_score(answers, [list(column) for column in zip(*several, strict=True)]).score
        assert found[f"bleu_{n}"] == pytest.approx(expected, abs=1e-9), n


def test_the_same_text_scores_100_and_another_0() -> None:
    text = words_and_marks("A small, red circle.")
    assert text == ["a", "small", ",", "red", "circle", "."]
    assert bleu_scores([text], [[["b"], text]]) == pytest.approx({f"bleu_{n}": 100 for n in (1, 2, 3, 4)})
    assert bleu_scores([text], [[["b"]]]) == {f"bleu_{n}": 0 for n in (1, 2, 3, 4)}
    assert bleu_scores([[]], [[text]])["bleu_1"] == 0


@pytest.mark.parametrize(("answers", "references"), [([], []), ([["a"]], []), ([["a"]], [[]])])
def test_an_answer_without_a_reference_is_refused(answers: list[list[str]], references: list[list[list[str]]]) -> None:
    with pytest.raises(ArgumentError, match="give one or more references for each"):
        bleu_scores(answers, references)
