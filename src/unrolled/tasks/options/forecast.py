"""Options of the forecasting task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.

from __future__ import annotations

from dataclasses import dataclass

from unrolled.tasks.options.shared import NetworkOptions, option

LAYOUTS = ("auto", "columns", "rows")
DISTRIBUTIONS = ("quantiles", "point", "gaussian", "student-t", "negative-binomial")


@dataclass(kw_only=True)
class ForecastOptions(NetworkOptions):
    """Options of `unrolled train forecast`."""

    horizon: int = option(24, "steps to forecast")
    time: str | None = option(None, "column of the times; default: the first column, if it holds dates")
    target: tuple[str, ...] = option((), "column or columns to forecast; default: all that have no other use")
    series: str | None = option(None, "column that names the series a row belongs to; default: one series")
    past: tuple[str, ...] = option((), "columns that help and are known up to the present only")
    known: tuple[str, ...] = option((), "columns that help and are known for the coming steps too")
    layout: str = option("auto", "columns: a row a step; rows: a row a series, its name first", choices=LAYOUTS)
    season: tuple[int, ...] = option((), "steps of a season, or of several; 1: none; default: by the times or the data")
    calendar: bool | None = option(None, "read the time of day, week and year; default: where there are dates")
    joint: bool = option(False, "let each target read the past of the others")
    distribution: str = option("quantiles", "what is said of each coming value", choices=DISTRIBUTIONS)
    quantiles: tuple[float, ...] = option((0.1, 0.25, 0.5, 0.75, 0.9), "probabilities of not being exceeded")
    recursive: bool = option(False, "feed each output back as the next input, instead of forecasting all at once")
    context: int | None = option(None, "steps read before a forecast; default: two seasons or horizons")
    segment: int | None = option(None, "steps read at once; default: by the season; 1 where outputs are fed back")
    attention: str | None = option(None, "look back at the context", choices=("additive", "multiplicative"))
    bidirectional: bool = option(False, "read the context and the horizon's covariates in both directions")
    backtest: int = option(0, "horizons at the end held out as the test part, forecast one after the other")
    cell: str = option("gru", "a cell's name (see `unrolled cells`) or file.py:Name for one of your own")
    embedding: int = option(64, "numbers that stand for one segment")
    batch_size: int = option(128, "windows in a batch")
    learning_rate: float = option(2e-3, "highest learning rate")
    ema: float = option(0.998, "factor of a moving average of the weights, which is then what is kept; 0: none")
    validation: float = option(0.1, "most of each series that is held out at its end where no validation file is given")
