"""The simplest forecasts, which a model has to beat: naive, seasonal naive, drift, Naive2 and a linear map."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from unrolled.data.arrays import Exact, Ids, Numbers
from unrolled.data.windows import Block

BASELINES = ("naive", "seasonal naive", "drift", "linear map")
_RIDGE = 1e-3


def naive(values: Exact, origins: Ids, horizon: int) -> Exact:
    """The last value before each origin, (n, H); values (T,) without NaN."""
    return np.repeat(values[origins - 1][:, None], horizon, 1)


def seasonal_naive(values: Exact, origins: Ids, horizon: int, season: int) -> Exact:
    """The value a season earlier, f_(t+h) = y_(t+h-m); the last value where there is no whole season before."""
    ahead = np.arange(horizon)
    places = origins[:, None] - season + ahead % season
    found: Exact = np.where(places >= 0, values[np.maximum(places, 0)], values[origins - 1][:, None])
    return found


def drift(values: Exact, origins: Ids, horizon: int) -> Exact:
    """The line through the first and the last value: f_(t+h) = y_t + h (y_t - y_1) / (t - 1)."""
    last = values[origins - 1]
    slope = (last - values[0]) / np.maximum(origins - 1, 1)
    found: Exact = last[:, None] + slope[:, None] * np.arange(1, horizon + 1)
    return found


def naive2(values: Exact, origins: Ids, horizon: int, season: int) -> Exact:
    """The last value, season taken out and put back (the measure of the M4 competition, Makridakis et al. 2018).

    The season is that of a classical multiplicative decomposition of what lies before the first origin, where an
    autocorrelation test at 90 % finds one and all values are positive; without one it is the naive forecast.
    """
    indices = seasonal_indices(values[: int(origins.min())], season)
    place = np.arange(len(values) + horizon) % season
    adjusted = values / indices[place[: len(values)]]
    ahead = origins[:, None] + np.arange(horizon)
    found: Exact = adjusted[origins - 1][:, None] * indices[place[ahead]]
    return found


def seasonal_indices(values: Exact, season: int) -> Exact:
    """Factors (m,) of a classical multiplicative decomposition; ones where there is no season."""
    flat = np.ones(max(season, 1))
    if season < 2 or len(values) < 3 * season or values.min() <= 0 or not is_seasonal(values, season):
        return flat
    window = np.ones(season) / season if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5] / season
    half = season // 2
    trend = np.convolve(values, window, "valid")
    ratio = values[half : half + len(trend)] / trend
    phase = np.arange(half, half + len(trend)) % season
    figure = np.bincount(phase, ratio, season) / np.bincount(phase, minlength=season)
    found: Exact = figure / figure.mean()
    return found


def is_seasonal(values: Exact, season: int) -> bool:
    """Whether |r_m| > 1.645 sqrt((1 + 2 sum_(k<m) r_k^2) / T), r_k the autocorrelations."""
    centred = values - values.mean()
    energy = float(centred @ centred)
    if energy <= 1e-12 * float(values @ values):
        return False
    r = np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(1, season + 1)]) / energy
    return bool(abs(r[-1]) > 1.645 * np.sqrt((1 + 2 * float((r[:-1] ** 2).sum())) / len(values)))


def fit_linear(blocks: Iterable[Block], context: int, horizon: int) -> Numbers:
    """One matrix (C + 1, H) for all windows, by ridge regression of y - x_C on x - x_C and 1."""
    product, target = np.zeros((context + 1, context + 1)), np.zeros((context + 1, horizon))
    for block in blocks:
        whole = block.counts.all(1)
        x, last = _inputs(block.context[whole])
        product += x.T @ x
        target += x.T @ (block.truth[whole] - last)
    size = max(float(np.trace(product)) / len(product), 1e-12)
    return np.linalg.solve(product + _RIDGE * size * np.eye(len(product)), target).astype(np.float32)


def linear_map(block: Block, matrix: Numbers) -> Exact:
    """The linear map's forecast (B, H) in the units of the lines."""
    x, last = _inputs(block.context)
    found: Exact = x @ matrix.astype(np.float64) + last
    return found


def _inputs(context: Numbers) -> tuple[Exact, Exact]:
    last = context[:, -1:].astype(np.float64)
    return np.concatenate([context - last, np.ones_like(last)], 1), last
