from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.baselines import drift, fit_linear, is_seasonal, linear_map, naive, naive2, seasonal_naive
from unrolled.data.windows import Line, LineScale, Windows

VALUES = np.random.default_rng(8).normal(20, 3, size=40)
ORIGINS = np.array([13, 30])


def test_naive_forecasts_repeat() -> None:
    np.testing.assert_array_equal(naive(VALUES, ORIGINS, 3), np.repeat(VALUES[[12, 29]][:, None], 3, 1))
    again = seasonal_naive(VALUES, ORIGINS, 6, 4)
    np.testing.assert_array_equal(again[1], VALUES[[26, 27, 28, 29, 26, 27]])
    np.testing.assert_array_equal(seasonal_naive(VALUES, ORIGINS, 5, 1), naive(VALUES, ORIGINS, 5))


def test_without_a_season_before_the_last_value_is_repeated() -> None:
    found = seasonal_naive(VALUES, np.array([3]), 6, 5)
    assert found[0].tolist() == [VALUES[2], VALUES[2], VALUES[0], VALUES[1], VALUES[2], VALUES[2]]


def test_drift_continues_a_straight_line() -> None:
    line = 3.0 + 0.5 * np.arange(20)
    np.testing.assert_allclose(drift(line[:15], np.array([15]), 5)[0], line[15:])
    assert drift(line[:1], np.array([1]), 2).tolist() == [[3.0, 3.0]]


def test_naive2_takes_the_season_out() -> None:
    season = np.array([0.5, 1.0, 1.5, 1.0])
    values = np.tile(season, 12) * 100
    found = naive2(values[:40], np.array([40]), 8, 4)
    np.testing.assert_allclose(found[0], values[40:48], rtol=1e-9)
    for without in (VALUES, values - 100, np.full(40, 7.0), VALUES[:6]):
        origin = np.array([len(without)])
        np.testing.assert_array_equal(naive2(without, origin, 8, 4), naive(without, origin, 8))
    assert is_seasonal(values, 4)
    assert not is_seasonal(np.full(40, 3.0), 4)


def test_the_linear_map_finds_a_linear_law() -> None:
    rng = np.random.default_rng(3)
    array = np.sin(0.4 * np.arange(400)) + 0.05 * rng.normal(size=400)  # x_t = 2 cos(0.4) x_(t-1) - x_(t-2)
    windows = Windows([Line("s", "", array, np.empty((400, 0)), np.empty((400, 0)), LineScale.fit(array, 1))], 6, 2)
    matrix = fit_linear(windows.blocks(*windows.everything), 6, 2)
    assert matrix.shape == (7, 2)
    block = windows.block(*windows.everything)
    found = linear_map(block, matrix)
    repeated = np.repeat(block.context[:, -1:], 2, 1)
    assert np.abs(found - block.truth).mean() < 0.3 * np.abs(repeated - block.truth).mean()


def test_naive2_is_that_of_the_m4_competition(real_data: Callable[[str], Path]) -> None:
    """The published errors of Naive2 on the hourly series: sMAPE 18.383, MASE 2.395."""
    known, coming = (_rows(real_data(f"forecast/m4-hourly-{part}.csv")) for part in ("train", "test"))
    smapes, mases = [], []
    for x, y in zip(known, coming, strict=True):
        f = naive2(x, np.array([len(x)]), 48, 24)[0]
        smapes.append(np.mean(200 * np.abs(y - f) / (np.abs(y) + np.abs(f))))
        mases.append(np.abs(y - f).mean() / np.abs(x[24:] - x[:-24]).mean())
    assert (np.mean(smapes), np.mean(mases)) == pytest.approx((18.383, 2.395), abs=5e-4)


def _rows(path: Path) -> list[np.ndarray]:
    with path.open(newline="", encoding="utf-8") as file:
        return [np.array([float(cell) for cell in row[1:] if cell]) for row in list(csv.reader(file))[1:]]
