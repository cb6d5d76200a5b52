"""Which steps of which series are learnt from, which validate and which test; and the size of a forecaster's window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unrolled.data.histories import Histories, History
from unrolled.data.problems import Problems
from unrolled.data.windows import Line, seasonal
from unrolled.errors import ArgumentError, DataError
from unrolled.models.shapes import ForecastShape
from unrolled.tasks.forecast_reading import ENOUGH_WINDOWS, Part, Reading, follow, held_out
from unrolled.tasks.model import Parts
from unrolled.tasks.options import ForecastOptions

_LONGEST_CONTEXT = 1000
_SHORTEST_CONTEXT = 32
# Recurrent steps that a context is read in: enough to be a sequence, few enough to be quick.
_SEGMENTS = 14


def check_options(options: ForecastOptions) -> None:
    """ArgumentError where a number is out of range or two options exclude each other."""
    for name, least in (("horizon", 1), ("backtest", 0), ("context", 1), ("segment", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ArgumentError(f"{name}={value} must be at least {least}; give a larger number")
    if any(season < 1 for season in options.season):
        raise ArgumentError(f"season={options.season} must be steps, at least 1; give for example 24, or 1 for none")
    if not 0 <= options.validation < 1:
        raise ArgumentError(f"validation={options.validation} is no share; give a number from 0 to below 1")


def parts_of(
    histories: Histories,
    options: ForecastOptions,
    valid: Histories | None = None,
    test: Histories | None = None,
    *,
    skip_bad: bool = False,
) -> Parts[Part]:
    """Training, validation and test part: the ends of the series in order of time, or files that go on from them.

    Scales and seasons are learnt on the training part alone. Raises DataError for a series that is too short.
    """
    problems = Problems(skip_bad, histories.skipped)
    series, ends = _long_enough(histories, options, valid is not None, test is not None, problems)
    histories = Histories(histories.path, histories.layout, series, histories.step, histories.remarks)
    reading = Reading.learn(histories, [train for train, _ in ends], options)
    per_series = len(reading.layout.targets)
    each = [end for end in ends for _ in range(per_series)]
    lines = reading.lines(series, options.horizon)
    train = Part(reading, tuple(line.cut(0, end) for line, (end, _) in zip(lines, each, strict=True)))
    held = tuple(line.cut(end, last) for line, (end, last) in zip(lines, each, strict=True) if last > end)
    rest = tuple(line.cut(last, len(line)) for line, (_, last) in zip(lines, each, strict=True) if len(line) > last)
    how = f"the last steps of each series, {min(len(x) - x.begin for x in held):,} or more" if held else "none"
    valid_part = Part(reading, held) if held else None
    test_part = Part(reading, rest, stride=options.horizon) if rest else None
    if valid is not None:
        valid_part, histories = _further(reading, histories, valid, options.horizon)
        how = str(valid.path)
    if valid_part is not None:
        valid_part = replace(valid_part, most=ENOUGH_WINDOWS)
    if test is not None:
        test_part, _ = _further(reading, histories, test, options.horizon)
    remarks = [*histories.remarks, *_said(reading, train.lines, options)]
    return Parts(train, valid_part, test_part, how, tuple(remarks), tuple(problems.found))


def _long_enough(
    histories: Histories, options: ForecastOptions, valid: bool, test: bool, problems: Problems
) -> tuple[list[History], list[tuple[int, int]]]:
    """The series that are long enough, and for each where its training part and its validation part end."""
    count = len(histories.series) * len(histories.layout.targets)
    series: list[History] = []
    ends: list[tuple[int, int]] = []
    tested = 0 if test else options.horizon * options.backtest
    for history in histories.series:
        last = len(history) - tested
        held = 0 if valid else held_out(last, count, options)
        if last - held < options.horizon + 2:
            need = options.horizon + 2 + tested + (held and options.horizon)
            name = f"the series {history.name!r}" if history.name else "the series"
            parts = " with its validation and test parts" if held or tested else ""
            problems.report(
                DataError(
                    f"{name} has {len(history)} steps, and a horizon of {options.horizon}{parts} needs at least "
                    f"{need}; give a longer series or a smaller horizon",
                    histories.path,
                    history.row,
                )
            )
            continue
        series.append(history)
        ends.append((last - held, last))
    if not series:
        raise DataError("no series is long enough for the horizon; give longer series or a smaller one", histories.path)
    return series, ends


def _further(reading: Reading, before: Histories, more: Histories, horizon: int) -> tuple[Part, Histories]:
    """The part that another file makes, and the series up to its end."""
    found = follow(before, more)
    short = next((h for h, begin in found if len(h) - max(begin, 1) < horizon), None)
    if short is not None:
        name = f"the series {short.name!r}" if short.name else "the series"
        raise DataError(
            f"{name} has fewer steps to measure than the horizon of {horizon}; give a file with {horizon} or more",
            more.path,
            short.row,
        )
    per_series = len(reading.layout.targets)
    begins = [begin for _, begin in found for _ in range(per_series)]
    lines = reading.lines([history for history, _ in found], horizon)
    part = Part(reading, tuple(line.cut(begin, len(line)) for line, begin in zip(lines, begins, strict=True)))
    newer = {history.name: history for history, begin in found if begin}
    series = [newer.get(history.name, history) for history in before.series]
    return part, Histories(before.path, before.layout, series, before.step)


def _said(reading: Reading, lines: Sequence[Line], options: ForecastOptions) -> list[str]:
    """How the series were read, where that is a guess, and what prices are."""
    said = []
    if not options.season:
        found = " and ".join(map(str, reading.seasons))
        source = "by the time stamps" if reading.step is not None and reading.step.unit != "number" else "by the data"
        said.append(f"season of {found} steps ({source})" if found else "no season was found")
    if _prices(reading, lines):
        said.append(
            "warning: these look like prices, and it is rare that any model forecasts prices better than by repeating "
            "the last one; trust the comparison with the naive forecast, not the picture"
        )
    return said


_PRICES = {"close", "adj close", "open", "high", "low", "last", "price", "prices", "bid", "ask", "rate", "quote"}


def _prices(reading: Reading, lines: Sequence[Line]) -> bool:
    """Whether a target is named as prices are, or wanders over weekdays: far more in a week than in a day."""
    if any(name.strip().lower().replace("_", " ") in _PRICES for name in reading.layout.targets):
        return True
    weekdays = reading.step is not None and reading.step.unit == "weekday"
    return weekdays and all(seasonal(line.values, 5) > 1.5 * seasonal(line.values, 1) > 0 for line in lines)


def shape_of(reading: Reading, lines: Sequence[Line], options: ForecastOptions) -> ForecastShape:
    """The window of a forecaster: two seasons or horizons of context, in about fourteen segments."""
    fitting = [season for season in reading.seasons if 2 * season <= _LONGEST_CONTEXT]
    longest = fitting[-1] if fitting else 1
    room = max(1, int(np.median([len(line) for line in lines])) // 2)
    context = options.context
    if context is None:
        context = min(max(2 * options.horizon, 2 * longest, _SHORTEST_CONTEXT), _LONGEST_CONTEXT, room)
    segment = options.segment
    if segment is None:
        segment = (
            1 if options.recursive else _segment(context, fitting[0] if fitting else 1, options.context is not None)
        )
    if options.context is None:
        context = max(1, context // segment) * segment
    past, known = reading.widths
    return ForecastShape(
        context, options.horizon, segment, past, known, options.recursive, options.attention, tuple(fitting)
    )


def _segment(context: int, season: int, fixed: bool) -> int:
    """A divisor of the season, or where the context is given of that, nearest to a fourteenth of the context."""
    wanted = max(1.0, context / _SEGMENTS)
    whole = context if fixed else season
    if whole == 1:
        return max(1, round(wanted))
    divisors = [n for n in range(1, whole + 1) if whole % n == 0 and n <= context]
    return min(divisors, key=lambda n: max(n / wanted, wanted / n))
