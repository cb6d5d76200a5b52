from __future__ import annotations

import numpy as np

from unrolled.data.series_changes import augment_series, fill_missing


def test_missing_values_are_the_last_known() -> None:
    nan = np.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [3.0, 4.0]], dtype=np.float32)
    np.testing.assert_array_equal(fill_missing(values), [[0, 1], [2, 1], [2, 1], [3, 4]])
    marked = fill_missing(values, marks=True)
    assert marked.dtype == np.float32
    np.testing.assert_array_equal(marked[:, 2:], [[0, 1], [1, 0], [0, 0], [1, 1]])
    whole = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    assert fill_missing(whole) is whole


def test_augmented_series_stay_series() -> None:
    values = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)
    before = values.copy()
    found = [augment_series(values, np.random.default_rng(seed), 1.0, 2) for seed in range(20)]
    assert all(54 <= len(other) <= 66 and other.dtype == np.float32 for other in found)
    assert all(np.abs(other[:, 2]).max() <= np.abs(values[:, 2]).max() for other in found)
    assert any(np.abs(other[:, :2]).max() > np.abs(values[:, :2]).max() for other in found)
    np.testing.assert_array_equal(found[5], augment_series(values, np.random.default_rng(5), 1.0, 2))
    np.testing.assert_array_equal(values, before)
    np.testing.assert_allclose(augment_series(values, np.random.default_rng(0), 1e-7, 2), values, atol=1e-4)
    assert augment_series(values[:1], np.random.default_rng(0), 1.0, 2).shape == (1, 3)
