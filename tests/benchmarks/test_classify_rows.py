"""The baselines beside classification: nearest neighbours, warped or not, and the animals' calls."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def classify(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("rows.classify")


def test_warped_distance_is_that_of_the_best_path(classify: ModuleType) -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(5, 2))
    others = [rng.normal(size=(length, 2)) for length in (1, 4, 6)]

    def best(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
        """Over all paths, by recursion."""
        here = float(((x[-1] - y[-1]) ** 2).sum())
        shorter = [(x[:-1], y), (x, y[:-1]), (x[:-1], y[:-1])]
        ways = [best(a, b) for a, b in shorter if len(a) and len(b)]
        return here + min(ways, default=0.0)

    np.testing.assert_allclose(classify.warped_distances(one, others), [best(one, other) for other in others])


def test_nearest_measures_in_deviations(classify: ModuleType) -> None:
    known = np.array([[0.0, 0.0], [1.0, 1000.0]])
    asked = np.array([[0.9, 400.0], [0.1, 100.0]])
    assert classify.nearest(known, ["a", "b"], asked, ["b", "a"]) == 1.0
    assert classify.nearest(known, ["a", "b"], asked, ["a", "b"]) == 0.0
    train = [{"sequence": "ACGT", "label": "x"}, {"sequence": "TTTT", "label": "y"}]
    assert classify.nearest_labels(train, [{"sequence": "TTGT"}, {"sequence": "ACCC"}]) == ["y", "x"]


def test_a_series_of_another_length_is_stretched_by_lines(classify: ModuleType) -> None:
    found = classify.stretched(np.array([[0.0, 4.0], [2.0, 0.0]]), 5)
    np.testing.assert_allclose(found, [[0, 4], [0.5, 3], [1, 2], [1.5, 1], [2, 0]])


def test_calls_of_animals_differ_and_stay_in_range(classify: ModuleType) -> None:
    animals = importlib.import_module("animals")
    chance = [np.random.default_rng(seed) for seed in (0, 0, 1)]
    clips = {name: [animals.clip(call, rng) for rng in chance] for name, call in animals.ANIMALS.items()}
    for first, again, other in clips.values():
        np.testing.assert_array_equal(first, again)
        assert len(first) != len(other)
        assert 0.2 * animals.RATE < len(first) < 10 * animals.RATE
        assert np.isfinite(first).all() and 0.3 < np.abs(first).max() < 5
