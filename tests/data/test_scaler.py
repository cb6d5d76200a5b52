from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from unrolled.data import Scaler
from unrolled.errors import ArgumentError, DataError


@pytest.fixture
def sequences() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [(rng.normal(size=(steps, 3)) * [1, 100, 0] + [5, -2, 7]).astype(np.float32) for steps in (1, 8, 0, 30)]


def test_learnt_features_have_mean_0_and_deviation_1(sequences: list[np.ndarray]) -> None:
    scaler = Scaler.fit(sequences)
    steps = np.concatenate([scaler.transform(sequence) for sequence in sequences])
    assert steps.dtype == np.float32
    np.testing.assert_allclose(steps.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(steps.std(0), [1, 1, 0], atol=1e-6)
    for sequence in sequences:
        np.testing.assert_allclose(scaler.inverse(scaler.transform(sequence)), sequence, rtol=1e-5, atol=1e-5)


def test_batches_and_single_steps_are_scaled_too(sequences: list[np.ndarray]) -> None:
    scaler = Scaler.fit(sequences)
    batch = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(scaler.transform(batch)[1, 2], scaler.transform(batch[1, 2]))


def test_a_constant_that_rounding_blurs_stays_constant() -> None:
    values = np.full((1000, 1), 0.1)
    assert Scaler.fit([values]).scale.tolist() == [1]


def test_json_is_exact(sequences: list[np.ndarray]) -> None:
    scaler = Scaler.fit(sequences)
    again = Scaler.from_json(json.loads(json.dumps(scaler.to_json())))
    np.testing.assert_array_equal(again.mean, scaler.mean)
    np.testing.assert_array_equal(again.scale, scaler.scale)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"mean": [1.0]},
        {"mean": [1.0], "scale": [1.0, 2.0]},
        {"mean": [1.0], "scale": [0.0]},
        {"mean": [1.0], "scale": [-1]},
        {"mean": [float("nan")], "scale": [1.0]},
        {"mean": [10**400], "scale": [1.0]},
        {"mean": ["1"], "scale": [1.0]},
        {"mean": [True], "scale": [1.0]},
        {"mean": [], "scale": []},
    ],
)
def test_a_tampered_scaler_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match=r"^run/scaler\.json: a scaler needs 'mean' and 'scale'"):
        Scaler.from_json(data, "run/scaler.json")


def test_what_does_not_fit_is_refused(sequences: list[np.ndarray]) -> None:
    scaler = Scaler.fit(sequences)
    for use in (scaler.transform, scaler.inverse):
        with pytest.raises(ArgumentError, match=r"values of shape \(4, 2\) where the last axis must be 3 features"):
            use(np.ones((4, 2), dtype=np.float32))
    with pytest.raises(ArgumentError, match="there is no step to learn a scale from"):
        Scaler.fit([np.ones((0, 2))])
