from __future__ import annotations

import numpy as np
import pytest

from unrolled.decode import Sampling, log_softmax, softmax
from unrolled.errors import ArgumentError


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=17) * 3


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_temperature_sharpens(logits: np.ndarray) -> None:
    plain = Sampling().probabilities(logits)
    np.testing.assert_allclose(plain, np.exp(logits) / np.exp(logits).sum(), rtol=1e-12)
    np.testing.assert_allclose(Sampling(temperature=0.5).probabilities(logits), softmax(2 * logits), rtol=1e-12)
    np.testing.assert_array_equal(Sampling(temperature=0).probabilities(logits), np.eye(17)[logits.argmax()])


def test_top_k_keeps_the_likeliest(logits: np.ndarray) -> None:
    p = Sampling(top_k=4).probabilities(logits)
    kept = np.argsort(-logits)[:4]
    assert set(p.nonzero()[0]) == set(kept)
    np.testing.assert_allclose(p[kept], softmax(logits[kept]), rtol=1e-12)


def test_top_p_is_the_smallest_set_that_reaches_the_mass() -> None:
    p = np.array([0.1, 0.5, 0.15, 0.25])
    nucleus = Sampling(top_p=0.7).probabilities(np.log(p))
    np.testing.assert_allclose(nucleus, [0, 2 / 3, 0, 1 / 3], rtol=1e-12)
    np.testing.assert_allclose(Sampling(top_p=1.0).probabilities(np.log(p)), p, rtol=1e-12)
    np.testing.assert_allclose(Sampling(top_p=1e-9).probabilities(np.log(p)), [0, 1, 0, 0], rtol=1e-12)


def test_forbidden_units_are_never_drawn(logits: np.ndarray, rng: np.random.Generator) -> None:
    best = int(logits.argmax())
    drawn = {Sampling().draw(logits, rng, forbidden=(best, 0)) for _ in range(300)}
    assert best not in drawn
    assert 0 not in drawn
    assert Sampling(temperature=0).draw(logits, rng, forbidden=(best,)) == int(np.argsort(-logits)[1])


def test_draws_follow_the_distribution_and_the_seed(logits: np.ndarray) -> None:
    sampling = Sampling(temperature=2.0, top_k=5)
    first = [sampling.draw(logits, np.random.default_rng(5)) for _ in range(3)]
    assert len(set(first)) == 1
    rng = np.random.default_rng(7)
    counts = np.bincount([sampling.draw(logits, rng) for _ in range(4000)], minlength=17) / 4000
    np.testing.assert_allclose(counts, sampling.probabilities(logits), atol=0.03)


def test_large_logits_stay_finite(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(3, 5)) * 1e4
    assert np.isfinite(softmax(scores)).all()
    np.testing.assert_allclose(np.exp(log_softmax(scores)), softmax(scores), atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": -0.1}, "temperature is -0.1, it must be 0 or more"),
        ({"temperature": float("nan")}, "temperature is nan, it must be 0 or more"),
        ({"top_k": 0}, "top_k is 0, it must be 1 or more, or left out"),
        ({"top_p": 0.0}, "top_p is 0.0, it must be above 0 and at most 1, or left out"),
        ({"top_p": 1.5}, "top_p is 1.5, it must be above 0 and at most 1, or left out"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{words}$"):
        Sampling(**arguments)
