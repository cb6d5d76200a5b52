from __future__ import annotations

import numpy as np
import pytest

from unrolled.data.windows import Line, LineScale
from unrolled.tasks.forecast_report import Foretold, compare, comparison_table
from unrolled.train.forecast_metrics import smape

LEVELS = (0.1, 0.5, 0.9)
H = 4


def foretold(forecasts: str, *, seed: int = 0, walk: bool = False, level: float = 50) -> Foretold:
    """Forecasts of two lines at each of ten steps: `perfect`, `last` (the last value repeated) or `noise`."""
    rng = np.random.default_rng(seed)
    lines, places, origins, truth, centres = [], [], [], [], []
    for place in range(2):
        values = (place + 1) * (level + (rng.normal(size=60).cumsum() if walk else 9 * np.sin(np.arange(60) * 1.1)))
        empty = np.empty((60, 0), np.float32)
        lines.append(Line(f"s{place}", "", values, empty, empty, LineScale.fit(values[:40], 5), 40))
        for origin in range(40, 50):
            coming = values[origin : origin + H]
            said = {"perfect": coming, "last": np.full(H, values[origin - 1] + 0.01), "noise": rng.normal(size=H)}
            places.append(place)
            origins.append(origin)
            truth.append(coming)
            centres.append(said[forecasts])
    spread = np.array([-1.0, 0.0, 1.0])
    middle = np.array(centres)
    linear = np.array(truth) + 3
    return Foretold(
        tuple(lines), np.array(places), np.array(origins), np.array(truth), middle, middle[..., None] + spread, linear
    )


def test_a_model_that_is_right_beats_all_and_says_by_how_much() -> None:
    found = compare(foretold("perfect"), LEVELS, 5)
    assert found.metrics["mase"] == found.metrics["mse"] == found.metrics["smape"] == found.metrics["owa"] == 0
    assert found.metrics["coverage"] == 1
    assert found.windows == 20
    assert len(found.verdict) == 1
    assert found.verdict[0].startswith("the model beats every simple forecast: MASE 0.000, 100.0% below the best")


def test_a_model_that_is_worse_is_told_so() -> None:
    found = compare(foretold("noise"), LEVELS, 5)
    said = found.verdict[0]
    assert said.startswith("the model does NOT beat naive (")
    assert all(f"{name} (" in said for name in ("seasonal naive", "drift", "linear map"))
    assert said.endswith(f"so use {min(found.baselines, key=lambda name: found.baselines[name]['mase'])}")


def test_a_model_that_repeats_the_last_value_is_told_so() -> None:
    found = compare(foretold("last", walk=True), LEVELS, 5)
    assert found.verdict[-1].startswith("the model only repeats the last value: its forecasts move")


def test_a_lead_that_may_be_chance_is_told_so() -> None:
    told = foretold("perfect")
    close = Foretold(
        **{**vars(told), "centres": told.truth + 2.99, "quantiles": (told.truth + 2.99)[..., None] + np.zeros(3)}
    )
    (said,) = compare(close, LEVELS, 5).verdict
    assert "so little that it may be chance" in said


def test_small_values_may_be_forecast_worse_than_large_ones_and_that_is_said() -> None:
    told = foretold("perfect", level=10)
    small = told.truth < np.quantile(told.truth, 0.2)
    centres = told.truth + np.where(small, 4.0, 0.0)
    others = told.truth + np.where(small, 0.0, 1.5)
    by_size = Foretold(
        **{**vars(told), "centres": centres, "quantiles": centres[..., None] + np.zeros(3), "linear": others}
    )
    found = compare(by_size, LEVELS, 5)
    assert found.metrics["mase"] < found.baselines["linear map"]["mase"]
    assert found.metrics["smape"] > found.baselines["linear map"]["smape"]
    assert found.verdict[0].startswith("the model beats every simple forecast")
    assert found.verdict[1] == "by sMAPE, in which small values weigh more, it does not beat linear map"


def test_metrics_are_means_over_windows_and_then_over_lines() -> None:
    told = foretold("noise")
    found = compare(told, LEVELS, 5)
    by_line = [
        np.abs(told.truth[told.places == k] - told.centres[told.places == k]).mean() / told.lines[k].scale.scale
        for k in range(2)
    ]
    assert found.metrics["mae"] == pytest.approx(np.mean(by_line))
    values = told.lines[1].values
    naive = np.repeat(values[told.origins[10:] - 1][:, None], H, 1)
    first = np.repeat(told.lines[0].values[told.origins[:10] - 1][:, None], H, 1)
    expected = np.mean([smape(told.truth[:10], first), smape(told.truth[10:], naive)])
    assert found.baselines["naive"]["smape"] == pytest.approx(expected)


def test_unknown_truth_does_not_count() -> None:
    told = foretold("noise")
    truth = told.truth.copy()
    truth[3, 1] = np.nan
    wrong = told.centres.copy()
    wrong[3, 1] = 1e9
    found = compare(Foretold(**{**vars(told), "truth": truth, "centres": wrong}), LEVELS, 5)
    assert found.metrics["mae"] < 1e3


def test_the_table_has_a_line_for_each() -> None:
    lines = compare(foretold("noise"), LEVELS, 5).table().splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["model", "naive", "seasonal naive", "drift", "linear map"]
    assert lines[0].split() == ["smape", "mase", "owa", "mse", "mae", "quantile_loss"]
    assert comparison_table({"model": {"mase": float("nan")}}).split()[-6:] == ["-"] * 6
