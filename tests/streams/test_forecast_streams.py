"""Forecasters while observations come in: the same as of the whole series up to now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from batteries.stream_laws import check_stream, cuts, follow, near
from streams.streamed import CHANCE, HOURS, SERIES, START, T, forecaster
from unrolled.cells import names
from unrolled.data.windows import LineScale
from unrolled.errors import ArgumentError
from unrolled.streams.forecast import Moments
from unrolled.tasks.estimators.forecaster import _histories
from unrolled.tasks.forecast import ForecastTask


def whole(model: ForecastTask, y: Any, times: Any = None, past: Any = None, known: Any = None) -> dict[str, Any]:
    """What `predict` says of the series, in the form of an answer."""
    found = model.forecast(_histories(y, times, past, known))
    levels = [f"{level:g}" for level in model.levels]
    told = {
        name: {"values": one.values.tolist(), "quantiles": dict(zip(levels, one.quantiles.T.tolist(), strict=True))}
        for name, one in zip(model.reading.layout.targets, found, strict=True)
    }
    return {"forecast": told, "times": None if found[0].times is None else list(found[0].times), "steps": len(y)}


@pytest.mark.parametrize("cell", names())
def test_every_cell_forecasts_from_where_the_rows_end(cell: str) -> None:
    model = forecaster(SERIES[:, 0], cell=cell, hidden=16)
    rows = SERIES[:33, 0]
    check_stream(model.stream, cuts(rows, [3, 20])[::2], whole(model, rows))


@pytest.mark.parametrize(
    "options",
    [{}, {"joint": True}, {"recursive": True, "segment": 1}, {"attention": "additive"}, {"distribution": "student-t"}],
)
@pytest.mark.parametrize("length", [2, 12, 47])
def test_a_forecast_is_that_of_the_series_so_far(options: dict[str, Any], length: int) -> None:
    model = forecaster(SERIES, times=HOURS, **options)
    assert model.reading.calendar
    rows = SERIES[:length].copy()
    rows[1 + length // 3 : 3 + length // 2, 0] = np.nan
    rows[length // 2 :, 1] = np.nan
    rows[0] = (SERIES[0, 0], SERIES[0, 1])
    expected = whole(model, rows, times=HOURS[:length])
    ways = [[rows], list(rows), np.split(rows, [1, length // 2, length // 2]), [rows.tolist()]]
    check_stream(model.stream, ways, expected, start=START)


def test_each_answer_is_of_what_was_read_so_far() -> None:
    model = forecaster(SERIES[:, 0])
    answers = follow(model.stream, list(SERIES[:30, 0])).parts
    for place in (0, 4, 29):
        assert near(answers[place], whole(model, SERIES[: place + 1, 0]))


def test_gaps_longer_than_the_window_are_bridged_from_the_last_value_before() -> None:
    model = forecaster(SERIES[:, 0])
    rows = SERIES[:50, 0].copy()
    rows[10:30] = rows[34:45] = np.nan
    check_stream(model.stream, cuts(rows, [25, 31, 40]), whole(model, rows))


def test_covariates_of_the_past_stand_behind_the_targets() -> None:
    past = CHANCE.normal(size=(T, 2)) * 100
    model = forecaster(SERIES, past=past, joint=True)
    rows = np.concatenate([SERIES, past], 1)[:25]
    check_stream(model.stream, cuts(rows, [7]), whole(model, SERIES[:25], past=past[:25]))


KNOWN = CHANCE.normal(size=(T + 9, 2)) * 30 + 1000


@pytest.mark.parametrize("options", [{}, {"recursive": True, "segment": 1}, {"joint": True, "bidirectional": True}])
@pytest.mark.parametrize("length", [3, 20])
def test_what_is_known_ahead_comes_with_a_part_or_is_given_at_the_beginning(
    options: dict[str, Any], length: int
) -> None:
    past = None if options.get("recursive") else CHANCE.normal(size=(T, 1))
    model = forecaster(SERIES, times=HOURS, past=past, known=KNOWN[: T + 4], **options)
    assert model.reading.calendar
    columns = [SERIES, KNOWN[:T]] if past is None else [SERIES, past, KNOWN[:T]]
    rows, seen = np.concatenate(columns, 1)[:length], None if past is None else past[:length]
    expected = whole(model, SERIES[:length], HOURS[:length], seen, KNOWN[: length + 4])
    ends = [1, 2, length]
    parts = [{"rows": rows[a:b], "ahead": KNOWN[b : b + 4 + a]} for a, b in zip([0, 1, 2], ends, strict=True)]
    later = [{"rows": rows[:1].tolist(), "ahead": KNOWN[1 : length + 5].tolist()}, *rows[1:]]
    check_stream(model.stream, [parts, later], expected, start=START)
    check_stream(model.stream, cuts(rows, [2]), expected, start=START, ahead=KNOWN)
    stream = model.stream(start=START, ahead=KNOWN[:7])
    stream.push(rows[:3])
    with pytest.raises(ArgumentError, match="needs known 1, known 2 of the 4 steps after a part, and 3 are known"):
        stream.push(rows[:1])
    moved = model.stream(stream.state(), ahead=KNOWN[3:9])
    assert near(moved.push({"rows": []}), stream.push({"rows": []}))
    assert moved.push(rows[:2])["steps"] == 5


def test_what_is_known_ahead_has_to_be_known() -> None:
    model = forecaster(SERIES[:, 0], known=KNOWN[: T + 4])
    stream = model.stream()
    for part, sentence in (
        ([[1e5, 1, 2]], "needs known 1, known 2 of the 4 steps after a part, and 0 are known; give {"),
        ({"rows": [[1e5, 1, None]], "ahead": KNOWN[:4]}, "known 1, known 2: number 2 of row 1 of the part is nan"),
        ({"rows": [[1e5, 1, 2]], "ahead": [[1, None]] * 4}, "ahead: number 2 of row 1 of the part is nan"),
        ({"rows": [[1e5, 1, 2]], "ahead": [1, 2, 3]}, r"ahead: a part has the shape \(1, 3\), and this stream reads"),
        ({"ahead": KNOWN[:4]}, "a part has the keys 'ahead'; give rows, and ahead where it is known"),
        ({"rows": [[1e5, 1, 2]], "next": []}, "a part has the keys 'rows', 'next'; give rows, and ahead"),
        ([[1e5, 1]], r"has the shape \(1, 2\), and this stream reads rows \(N, 3\)"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            stream.push(part)
        assert stream.steps == 0
    assert stream.finish()["forecast"] is None


def test_a_new_series_is_scaled_by_what_came_of_it() -> None:
    model = forecaster({"a": SERIES[:, 0], "b": 3 * SERIES[:, 1]})
    named = SERIES[:20, 1] * 3
    expected = whole(model, {"b": named})
    check_stream(model.stream, cuts(named, [8]), {**expected, "steps": 20}, series="b")
    other = np.abs(7 * SERIES[:40, 0] - 6e5)
    expected = whole(model, {"new": other})
    check_stream(model.stream, cuts(other, [8]), {**expected, "steps": 40}, series="new")


def test_counts_are_whole_and_never_negative() -> None:
    sold = CHANCE.poisson(4, size=T).astype(float)
    model = forecaster({"a": sold}, distribution="negative-binomial")
    for series in ("a", "new"):
        check_stream(model.stream, cuts(sold, [30])[::2], {**whole(model, {series: sold}), "steps": T}, series=series)


@pytest.mark.parametrize("counts", [True, False])
def test_moments_are_those_of_the_whole_column(counts: bool) -> None:
    rows = 1e4 + CHANCE.normal(size=(40, 3)) ** 2
    rows[CHANCE.random(rows.shape) < 0.3] = np.nan
    rows[:, 2] = 5.0
    moments = Moments(3)
    for part in np.split(rows, [1, 2, 30]):
        moments.take(part)
    for place in range(3):
        found, wanted = moments.scale(place, counts=counts), LineScale.fit(rows[:, place], 1, counts=counts)
        assert (found.mean, found.scale, found.least) == pytest.approx((wanted.mean, wanted.scale, wanted.least))


def test_nothing_is_said_before_every_target_has_a_value() -> None:
    stream = forecaster(SERIES).stream()
    for row in ([], [[None, None]], [[1e5, None]]):
        assert stream.push(row)["forecast"] is None
    assert set(stream.push([[None, 1e5]])["forecast"]) == {"y 1", "y 2"}
    assert stream.steps == 3


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (None, "this run reads the calendar; give start='2024-03-31 18:00', the time of the first row"),
        ("soon", "start='soon' is no time of this run; give a time such as 2024-03-31 18:00"),
    ],
)
def test_a_start_that_is_missing_or_no_time_is_refused(start: str | None, sentence: str) -> None:
    choices: Mapping[str, Any] = {} if start is None else {"start": start}
    with pytest.raises(ArgumentError, match=sentence):
        forecaster(SERIES, times=HOURS).stream(**choices)


def test_what_a_stream_cannot_have_is_refused() -> None:
    with pytest.raises(ArgumentError, match="and this run was trained without times; leave it out"):
        forecaster(SERIES).stream(start="2024-01-01")
    with pytest.raises(ArgumentError, match="ahead was given, and this run has no columns that are known ahead; leave"):
        forecaster(SERIES).stream(ahead=[[1.0]])
    with pytest.raises(ArgumentError, match=r"has the shape \(1, 3\), and this stream reads rows \(N, 2\)"):
        forecaster(SERIES).stream().push([[1.0, 2.0, 3.0]])
