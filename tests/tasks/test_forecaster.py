from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled.errors import ArgumentError

SMALL: dict[str, Any] = {"hidden": 6, "embedding": 4, "epochs": 1, "horizon": 3, "threads": 1, "season": (6,)}


def wave(steps: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 5 + np.sin(np.arange(steps) * 2 * np.pi / 6) + 0.1 * rng.normal(size=steps)


@pytest.fixture(scope="module")
def fitted() -> ur.Forecaster:
    model = ur.Forecaster(**{**SMALL, "epochs": 3, "learning_rate": 0.02})
    return model.fit(wave(150))


def test_it_forecasts_beyond_what_it_was_fitted_to(fitted: ur.Forecaster) -> None:
    found = fitted.predict()
    assert found.shape == (3,)
    assert np.abs(found - (5 + np.sin(np.arange(150, 153) * 2 * np.pi / 6))).max() < 0.5
    np.testing.assert_array_equal(found, fitted.predict(wave(150)))
    assert not np.array_equal(found, fitted.predict(wave(149)))
    quantiles = fitted.predict_quantiles()
    assert quantiles.shape == (3, 5)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert -2 < fitted.score(wave(150, seed=1)) < 0


def test_it_is_saved_loaded_and_pickled(fitted: ur.Forecaster, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    loaded = ur.load(tmp_path / "run")
    assert isinstance(loaded, ur.Forecaster)
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.predict(wave(150)), fitted.predict())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(), fitted.predict())
    with pytest.raises(ArgumentError, match="the series that this Forecaster was fitted to are not in its run; give y"):
        loaded.predict()


def test_the_form_of_the_answer_is_that_of_the_series() -> None:
    several = np.stack([wave(60), wave(60, 1)], 1)
    model = ur.Forecaster(**SMALL).fit(several)
    assert model.predict().shape == (3, 2)
    assert model.predict_quantiles().shape == (3, 2, 5)
    listed = ur.Forecaster(**SMALL).fit([wave(60), wave(70, 1)])
    assert [part.shape for part in listed.predict()] == [(3,), (3,)]
    assert listed.predict(wave(50)).shape == (3,)
    named = ur.Forecaster(**SMALL).fit({"a": wave(60), "b": wave(70, 1)})
    assert set(named.predict()) == {"a", "b"}
    assert set(named.predict({"c": wave(40)})) == {"c"}


def test_times_and_covariates() -> None:
    rng = np.random.default_rng(3)
    times = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    known, past = rng.normal(size=(63, 2)), rng.normal(size=60)
    model = ur.Forecaster(**SMALL).fit(wave(60), times=times, past=past, known=known[:60])
    assert model.model_.reading.step.name == "1 d"
    assert model.model_.reading.widths == (1, 2 + 4)
    before = model.predict(wave(60), times=times, past=past, known=known)
    known[-1] += 2
    assert not np.array_equal(before, model.predict(wave(60), times=times, past=past, known=known))
    with pytest.raises(ValueError, match="must be known for the 3 steps to forecast"):
        model.predict()


def test_missing_values_are_allowed() -> None:
    values = wave(80)
    values[[5, 30, 31]] = np.nan
    assert np.isfinite(ur.Forecaster(**SMALL).fit(values).predict()).all()


@pytest.mark.parametrize(
    ("y", "more", "words"),
    [
        (None, {}, "y is None; give a series"),
        ({}, {}, "y holds no series"),
        (["a", "b"], {}, "y holds what is no number"),
        (np.zeros((3, 3, 3)), {}, r"y has the shape \(3, 3, 3\), a series is"),
        (np.array([1.0, np.inf] * 20), {}, "y contains infinity"),
        (np.full(40, np.nan), {}, "or nothing else"),
        ([wave(40), np.zeros((40, 2))], {}, r"the series of y have \[1, 2\] targets"),
        (wave(40), {"times": ["soon"] * 40}, "times hold what is no date"),
        (wave(40), {"times": np.arange("2024-01-01", "2024-01-21", dtype="datetime64[D]")}, "do not ascend; give 40"),
        (wave(40), {"past": wave(30)}, "past has 30 steps and y 40"),
        (wave(40), {"known": np.full(40, np.nan)}, "known contains infinity, NaN where none may be"),
        (wave(6), {}, "the series has 6 steps, and a horizon of 3 with its validation and test parts needs at least 8"),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(y: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ur.Forecaster(**SMALL).fit(y, **more)


def test_other_refusals(fitted: ur.Forecaster) -> None:
    with pytest.raises(ArgumentError, match="2 columns of targets were given, this Forecaster was fitted to 1"):
        fitted.predict(np.zeros((40, 2)))
    with pytest.raises(ValueError, match="is not fitted; call fit first"):
        ur.Forecaster().predict(wave(40))
    with pytest.raises(ArgumentError, match="horizon=0 must be at least 1"):
        ur.Forecaster(horizon=0).fit(wave(40))
