"""A forecaster beside the simplest forecasts, and in words whether it is any better than they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from unrolled.data.arrays import Exact, Ids, Numbers
from unrolled.data.baselines import BASELINES, drift, linear_map, naive, naive2, seasonal_naive
from unrolled.data.histories import bridged
from unrolled.data.windows import Block, Line, Windows, seasonal
from unrolled.train.forecast_metrics import coverage, mase, owa, quantile_loss, smape

COMPARISON = "comparison.json"
_METRICS = ("smape", "mase", "owa", "mse", "mae", "quantile_loss")
# Below this share of what the series moves, a forecast only repeats the last value.
_REPEATS = 0.1
# A lead below this share is called little.
_LITTLE = 0.02


@dataclass(frozen=True)
class Foretold:
    """N forecasts of H steps in the file's own units: whose, from which step, what came, what was said.

    NaN is an unknown truth. `truth`, `centres` and `linear` are (N, H), `quantiles` (N, H, L).
    """

    lines: tuple[Line, ...]
    places: Ids
    origins: Ids
    truth: Exact = field(repr=False)
    centres: Exact = field(repr=False)
    quantiles: Exact = field(repr=False)
    linear: Exact = field(repr=False)

    @classmethod
    def of(cls, windows: Windows, blocks: Sequence[Block], centres: Exact, quantiles: Exact, matrix: Numbers) -> Self:
        """From blocks and forecasts in the units of the lines."""
        places = np.concatenate([block.lines for block in blocks])
        truth = np.concatenate([np.where(block.counts, block.truth, np.nan) for block in blocks]).astype(np.float64)
        linear = np.concatenate([linear_map(block, matrix) for block in blocks])
        scales = [windows.lines[place].scale for place in places]
        mean = np.array([scale.mean for scale in scales])[:, None]
        unit = np.array([scale.scale for scale in scales])[:, None]
        least = np.array([scale.least for scale in scales])[:, None]
        return cls(
            windows.lines,
            places,
            np.concatenate([block.origins for block in blocks]),
            truth * unit + mean,
            np.maximum(centres * unit + mean, least),
            np.maximum(quantiles * unit[..., None] + mean[..., None], least[..., None]),
            np.maximum(linear * unit + mean, least),
        )


@dataclass(frozen=True)
class Comparison:
    """Metrics of the model and of each of `BASELINES` on the same windows, and what they come to in words."""

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    verdict: tuple[str, ...]
    windows: int

    def to_json(self) -> dict[str, Any]:
        """Plain data: the model's metrics, those of the others by name, the verdict, the number of windows."""
        return {
            **self.metrics,
            "baselines": self.baselines,
            "verdict": list(self.verdict),
            "windows": self.windows,
        }

    def table(self) -> str:
        """A line for the model and for each baseline."""
        rows = {"model": self.metrics, **self.baselines}
        return comparison_table(rows)


def plain_numbers(data: Any) -> Any:
    """The same with None for what is no finite number, which JSON has not."""
    if isinstance(data, dict):
        return {name: plain_numbers(value) for name, value in data.items()}
    return None if isinstance(data, float) and not np.isfinite(data) else data


def comparison_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A line a method, a column a metric."""
    head = f"{'':<14}" + "".join(f"{name:>14}" for name in _METRICS)
    return "\n".join([head, *(f"{name:<14}" + "".join(map(_cell, _numbers(found))) for name, found in rows.items())])


def _numbers(found: Mapping[str, float | None]) -> list[float | None]:
    return [found.get(name) for name in _METRICS]


def _cell(value: float | None) -> str:
    return f"{'-':>14}" if value is None or np.isnan(value) else f"{value:>14.4f}"


def compare(found: Foretold, levels: Sequence[float], season: int) -> Comparison:
    """Every line counts the same: means over its windows and steps first, then over the lines.

    sMAPE in per cent; MASE by the history before the first window; OWA relative to Naive2; MSE, MAE and quantile loss
    in deviations of the line's training part, so that lines of all sizes can be averaged.
    """
    sums: dict[str, list[dict[str, float]]] = {}
    for place in np.unique(found.places).tolist():
        for name, metrics in _of_line(found, place, levels, season).items():
            sums.setdefault(name, []).append(metrics)
    means = {name: _mean(rows) for name, rows in sums.items()}
    reference = means.pop("naive2")
    for metrics in means.values():
        metrics["owa"] = owa(metrics["smape"], metrics["mase"], reference["smape"], reference["mase"])
    model = means.pop("model")
    return Comparison(model, means, tuple(_verdict(model, means, _moves(found))), len(found.origins))


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    means = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        known = values[~np.isnan(values)]
        means[name] = float(known.mean()) if known.size else float("nan")
    return means


def _of_line(found: Foretold, place: int, levels: Sequence[float], season: int) -> dict[str, dict[str, float]]:
    """The metrics of one line for each method."""
    line, mine = found.lines[place], found.places == place
    origins, truth, horizon = found.origins[mine], found.truth[mine], found.truth.shape[1]
    values = bridged(line.values[:, None])[:, 0]
    first = int(origins.min())
    scale = seasonal(line.values[:first], season) if first > season else line.scale.seasonal
    forecasts = {
        "naive": naive(values, origins, horizon),
        "seasonal naive": seasonal_naive(values, origins, horizon, season),
        "drift": drift(values, origins, horizon),
        "linear map": found.linear[mine],
        "naive2": naive2(values, origins, horizon, season),
    }
    metrics = {name: _measured(truth, forecast, None, levels, scale, line) for name, forecast in forecasts.items()}
    return {"model": _measured(truth, found.centres[mine], found.quantiles[mine], levels, scale, line), **metrics}


def _measured(
    truth: Exact, forecast: Exact, quantiles: Exact | None, levels: Sequence[float], scale: float, line: Line
) -> dict[str, float]:
    errors = (truth - forecast) / line.scale.scale
    errors = errors[~np.isnan(errors)]
    metrics = {
        "smape": smape(truth, forecast),
        "mase": mase(truth, forecast, scale),
        "mse": float((errors**2).mean()) if errors.size else float("nan"),
        "mae": float(np.abs(errors).mean()) if errors.size else float("nan"),
    }
    spread = np.repeat(forecast[..., None], len(levels), 2) if quantiles is None else quantiles
    metrics["quantile_loss"] = quantile_loss(truth, spread, levels) / line.scale.scale
    if quantiles is not None and len(levels) > 1:
        metrics["coverage"] = coverage(truth, quantiles[..., 0], quantiles[..., -1])
    return metrics


def _moves(found: Foretold) -> float:
    """How far the forecasts go from the last value, as a share of how far the series do."""
    went, said = [], []
    for place in np.unique(found.places).tolist():
        line, mine = found.lines[place], found.places == place
        last = bridged(line.values[:, None])[found.origins[mine] - 1]
        went.append(np.abs(found.truth[mine] - last).ravel() / line.scale.scale)
        said.append(np.abs(found.centres[mine] - last).ravel() / line.scale.scale)
    distance, moved = np.concatenate(went), np.concatenate(said)
    known = ~np.isnan(distance)
    total = float(distance[known].sum())
    return float(moved[known].sum()) / total if total > 0 else float("nan")


def _verdict(model: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]], moves: float) -> list[str]:
    """Which simple forecasts the model does not beat, by MASE and by sMAPE; whether it only repeats the last value."""
    measure = "mase" if not np.isnan(model["mase"]) else "mae"
    name, mine = measure.upper(), model[measure]
    best = min(BASELINES, key=lambda other: baselines[other][measure])
    better = [other for other in BASELINES if not mine < baselines[other][measure]]
    if better:
        listed = _listed([f"{other} ({baselines[other][measure]:.3f})" for other in better])
        first = f"the model does NOT beat {listed}: its {name} is {mine:.3f}, so use {best}"
    else:
        share = 1 - mine / baselines[best][measure]
        little = ", so little that it may be chance" if share < _LITTLE else ""
        first = (
            f"the model beats every simple forecast: {name} {mine:.3f}, {share:.1%} below the best of "
            f"them, {best} ({baselines[best][measure]:.3f}){little}"
        )
    words = [first]
    ahead = [other for other in BASELINES if other not in better and not model["smape"] < baselines[other]["smape"]]
    if ahead:
        words.append(f"by sMAPE, in which small values weigh more, it does not beat {_listed(ahead)}")
    if moves < _REPEATS:
        words.append(f"the model only repeats the last value: its forecasts move {moves:.0%} as far as the series does")
    return words


def _listed(names: Sequence[str]) -> str:
    """One, two, ... and the last."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
