from __future__ import annotations

import math

import numpy as np
import pytest

from unrolled.errors import ArgumentError
from unrolled.train.forecast_metrics import coverage, mase, owa, quantile_loss, smape

TRUTH = np.array([[2.0, 0.0, np.nan], [4.0, -1.0, 3.0]])
FORECAST = np.array([[1.0, 0.0, 9.0], [4.0, 1.0, 1.0]])


def test_smape_and_mase_by_hand() -> None:
    assert smape(TRUTH, FORECAST) == pytest.approx((200 / 3 + 0 + 0 + 200 + 100) / 5)
    assert mase(TRUTH, FORECAST, 0.5) == pytest.approx((1 + 0 + 0 + 2 + 2) / 5 / 0.5)
    assert math.isnan(mase(TRUTH, FORECAST, 0.0))
    assert math.isnan(smape(np.array([np.nan]), np.array([1.0])))


def test_owa_is_relative_to_naive2() -> None:
    assert owa(9.328, 0.893, 18.383, 2.395) == pytest.approx(0.440, abs=5e-4)
    assert math.isnan(owa(1.0, 1.0, 0.0, 1.0))


def test_the_quantile_loss_is_least_at_the_quantiles() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    levels = (0.1, 0.5, 0.9)
    own = np.quantile(values, levels)
    best = quantile_loss(values, np.tile(own, (4000, 1)), levels)
    for place in range(3):
        for move in (-0.2, 0.2):
            other = own.copy()
            other[place] += move
            assert quantile_loss(values, np.tile(other, (4000, 1)), levels) > best
    assert quantile_loss(np.array([3.0]), np.array([[1.0]]), (0.5,)) == pytest.approx(1.0)


def test_coverage_counts_what_lies_inside() -> None:
    assert coverage(TRUTH, TRUTH - 1, TRUTH + 1) == 1.0
    assert coverage(np.array([1.0, 5.0, np.nan]), np.zeros(3), np.full(3, 2.0)) == 0.5


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ArgumentError, match=r"truth has shape \(2, 3\) and forecast \(2, 2\)"):
        smape(TRUTH, FORECAST[:, :2])
    with pytest.raises(ArgumentError, match=r"quantiles of shape \(2, 3, 1\) for truth \(2, 3\) and 2 levels"):
        quantile_loss(TRUTH, FORECAST[..., None], (0.1, 0.9))
