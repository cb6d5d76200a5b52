"""`Forecaster`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Exact, Ids
from unrolled.data.histories import Histories, History, Layout
from unrolled.data.timestamps import Step, common_step
from unrolled.errors import ArgumentError
from unrolled.tasks.estimators.base import Estimator, _shared
from unrolled.tasks.forecast import ForecastTask
from unrolled.tasks.forecast_answers import Forecast
from unrolled.tasks.forecast_parts import check_options, parts_of
from unrolled.tasks.options import ForecastOptions, option

_HERE = Path("y")


@dataclass(kw_only=True, repr=False, eq=False)
class Forecaster(Estimator, ForecastOptions):
    """Forecast series in time: the quantiles, a number or a distribution of each of the next `horizon` values.

    `fit(y)`: y is one series (T,), several targets of one (T, K), or many series as a list, or a mapping by name, of
    such arrays; NaN is a missing value. `times` (T,) are dates as text or datetime64, `past` (T, P) and `known` (T, Q)
    covariates, for many series a list of each. `predict` forecasts beyond the end of what it is given, or of y as
    fitted. `cell` is a name or a Cell.
    """

    cell: Any = option("gru", "a cell's name or a Cell")
    time: str | None = field(default=None, init=False)
    target: tuple[str, ...] = field(default=(), init=False)
    series: str | None = field(default=None, init=False)
    past: tuple[str, ...] = field(default=(), init=False)
    known: tuple[str, ...] = field(default=(), init=False)
    layout: str = field(default="auto", init=False)

    task: ClassVar[str] = "forecast"

    if TYPE_CHECKING:
        fitted_: Histories | None
        form_: str

    def fit(self, y: Any, *, times: Any = None, past: Any = None, known: Any = None) -> Self:
        """Train on series; raises ArgumentError or DataError (ValueErrors) where they cannot be used."""
        options = ForecastOptions(**_shared(self, ForecastOptions))
        check_options(options)
        histories = _histories(y, times, past, known)
        self._fit(parts_of(histories, options))
        self.fitted_, self.form_ = histories, _form(y)
        return self

    def predict(self, y: Any = None, *, times: Any = None, past: Any = None, known: Any = None) -> Any:
        """The next values: (H,) or (H, K) for one series, a list of such for many, a mapping for a mapping.

        `known` (T + H, Q) goes on through the horizon.
        """
        return self._shaped(y, [found.values for found in self._forecasts(y, times, past, known)])

    def predict_quantiles(self, y: Any = None, *, times: Any = None, past: Any = None, known: Any = None) -> Any:
        """The same with the values of `quantiles` in a last axis: (H, L) or (H, K, L)."""
        return self._shaped(y, [found.quantiles for found in self._forecasts(y, times, past, known)])

    def score(self, y: Any, *, times: Any = None, past: Any = None, known: Any = None) -> float:
        """Minus the mean absolute scaled error of forecasts from every step of `y`: larger is better."""
        model: ForecastTask = self._fitted
        part = model.part(self._checked(_histories(y, times, past, known)))
        return -model.compare(part).metrics["mase"]

    def _forecasts(self, y: Any, times: Any, past: Any, known: Any) -> list[Forecast]:
        model: ForecastTask = self._fitted
        if y is not None:
            return model.forecast(self._checked(_histories(y, times, past, known)))
        if getattr(self, "fitted_", None) is None:
            raise ArgumentError("the series that this Forecaster was fitted to are not in its run; give y")
        return model.forecast(self.fitted_)  # type: ignore[arg-type]  # not None

    def _checked(self, histories: Histories) -> Histories:
        layout = self._fitted.reading.layout
        for name in ("targets", "past", "known"):
            want, have = len(getattr(layout, name)), len(getattr(histories.layout, name))
            if want != have:
                raise ArgumentError(
                    f"{have} columns of {name} were given, this Forecaster was fitted to {want}; give {want}"
                )
        return histories

    def _shaped(self, y: Any, found: Sequence[npt.NDArray[Any]]) -> Any:
        """From one array a line to the form that y has, or had when it was fitted."""
        wide = len(self._fitted.reading.layout.targets)
        groups = [found[place : place + wide] for place in range(0, len(found), wide)]
        joined = [group[0] if wide == 1 else np.stack(group, 1) for group in groups]
        form = _form(y) if y is not None else self.form_
        if form == "mapping":
            names = y if y is not None else [history.name for history in self.fitted_.series]  # type: ignore[union-attr]
            return dict(zip(names, joined, strict=True))
        return joined if form == "list" else joined[0]


def _form(y: Any) -> str:
    """Whether y is one series, a list of series or a mapping."""
    if isinstance(y, Mapping):
        return "mapping"
    return "list" if isinstance(y, list | tuple) and len(y) > 0 and np.ndim(y[0]) > 0 else "one"


def _histories(y: Any, times: Any, past: Any, known: Any) -> Histories:
    """Arrays as the series of a file; raises ArgumentError."""
    if y is None:
        raise ArgumentError("y is None; give a series (T,), (T, K), a list of them or a mapping")
    form = _form(y)
    if form == "mapping":
        names, values = list(map(str, y)), list(y.values())
        times, past, known = (None if part is None else [part[name] for name in y] for part in (times, past, known))
    elif form == "list":
        names, values = [str(place + 1) for place in range(len(y))], list(y)
    else:
        names, values = [""], [y]
        times, past, known = (None if part is None else [part] for part in (times, past, known))
    if not values:
        raise ArgumentError("y holds no series; give at least one")
    arrays = [
        _array(value, f"y[{name}]" if name else "y", missing=True) for name, value in zip(names, values, strict=True)
    ]
    stamps = None if times is None else [_stamps(given, len(a)) for given, a in zip(times, arrays, strict=True)]
    step = None if stamps is None else common_step(stamps, 19, _HERE)
    series = []
    for place, (name, array) in enumerate(zip(names, arrays, strict=True)):
        before = _covariates(past, place, len(array), "past", exact=True)
        beside = _covariates(known, place, len(array), "known", exact=False)
        series.append(History(name, array, before, beside, _extended(stamps, place, step, len(beside)), None))
    counts = {history.targets.shape[1] for history in series}
    if len(counts) > 1:
        raise ArgumentError(
            f"the series of y have {sorted(counts)} targets, they need the same; give one number of them"
        )
    layout = Layout(
        None,
        None,
        _names("y", series[0].targets),
        _names("past", series[0].past),
        _names("known", series[0].known),
    )
    return Histories(_HERE, layout, series, step)


def _names(what: str, array: Exact) -> tuple[str, ...]:
    count = array.shape[1]
    return (what,) if count == 1 else tuple(f"{what} {place}" for place in range(1, count + 1))


def _array(values: Any, name: str, *, missing: bool = False) -> Exact:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} holds what is no number; give an array of numbers") from None
    if found.ndim not in (1, 2) or not found.size:
        raise ArgumentError(f"{name} has the shape {found.shape}, a series is (T,) or (T, K); give that")
    found = found if found.ndim == 2 else found[:, None]
    bad = np.isinf(found) if missing else ~np.isfinite(found)
    if bad.any() or np.isnan(found).all(0).any():
        raise ArgumentError(f"{name} contains infinity, NaN where none may be, or nothing else; give finite numbers")
    return found


def _covariates(given: Any, place: int, steps: int, name: str, *, exact: bool) -> Exact:
    if given is None:
        return np.empty((steps, 0))
    found = _array(given[place], name)
    if len(found) < steps or (exact and len(found) != steps):
        raise ArgumentError(f"{name} has {len(found)} steps and y {steps}; give a row for each step")
    return found


def _stamps(given: Any, steps: int) -> Ids:
    try:
        found = np.asarray(given, dtype="datetime64[s]").astype(np.int64)
    except (TypeError, ValueError):
        raise ArgumentError("times hold what is no date; give datetime64 or text such as 2024-03-31 18:00") from None
    if found.shape != (steps,) or (np.diff(found) <= 0).any():
        raise ArgumentError(f"times have the shape {found.shape} or do not ascend; give {steps} ascending times")
    return found


def _extended(stamps: Sequence[Ids] | None, place: int, step: Step | None, steps: int) -> Ids | None:
    """Times of one series, going on for covariates that do."""
    if stamps is None or step is None:
        return None
    times = stamps[place]
    more = steps - len(times)
    return times if more <= 0 else np.concatenate([times, step.after(int(times[-1]), more)])
