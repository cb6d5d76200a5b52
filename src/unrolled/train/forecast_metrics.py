"""How good forecasts are: the measures of the M competitions and the quantile loss. NaN in the truth does not count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import ArgumentError


def smape(truth: ArrayLike, forecast: ArrayLike) -> float:
    """Mean of 200 |y - f| / (|y| + |f|) in per cent, a pair of zeros counting 0 (Makridakis and Hibon 2000)."""
    y, f = _pair(truth, forecast)
    sizes = np.abs(y) + np.abs(f)
    return _mean(np.divide(200 * np.abs(y - f), sizes, out=np.where(np.isnan(sizes), sizes, 0.0), where=sizes > 0))


def mase(truth: ArrayLike, forecast: ArrayLike, scale: float) -> float:
    """Mean |y - f| / s, s the mean |y_t - y_(t-m)| of the history (Hyndman and Koehler 2006); NaN where s is 0."""
    y, f = _pair(truth, forecast)
    return _mean(np.abs(y - f)) / scale if scale > 0 else float("nan")


def owa(smape: float, mase: float, naive_smape: float, naive_mase: float) -> float:
    """Half of each measure over that of Naive2: below 1 is better than it (Makridakis et al. 2018); NaN over 0."""
    if not (naive_smape > 0 and naive_mase > 0):
        return float("nan")
    return 0.5 * (smape / naive_smape + mase / naive_mase)


def quantile_loss(truth: ArrayLike, quantiles: ArrayLike, levels: Sequence[float]) -> float:
    """Mean over levels a of max(a (y - q_a), (a - 1)(y - q_a)): truth (...), quantiles (..., L)."""
    y, q = np.asarray(truth, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    if q.shape != (*y.shape, len(levels)):
        raise ArgumentError(f"quantiles of shape {q.shape} for truth {y.shape} and {len(levels)} levels; give one each")
    error, ranks = y[..., None] - q, np.asarray(levels)
    return _mean(np.maximum(ranks * error, (ranks - 1) * error).mean(-1))


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of values that lie between two quantiles, ends included."""
    y, a = _pair(truth, low)
    _, b = _pair(truth, high)
    inside = ((y >= a) & (y <= b)).astype(np.float64)
    return _mean(np.where(np.isnan(y), np.nan, inside))


def _pair(truth: ArrayLike, forecast: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, f = np.asarray(truth, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if y.shape != f.shape or y.size == 0:
        raise ArgumentError(f"truth has shape {y.shape} and forecast {f.shape}; give two of one shape, not empty")
    return y, f


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
