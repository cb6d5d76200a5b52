from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data.problems import Problems
from unrolled.data.timestamps import DAY, Step, as_time, common_step, parse_times
from unrolled.errors import DataError

HERE = Path("in.csv")


def seconds(*texts: str) -> np.ndarray:
    return np.array([np.datetime64(text, "s").astype(np.int64) for text in texts])


def step_of(*texts: str, digits: int = 10) -> Step:
    return common_step([seconds(*texts)], digits, HERE)


@pytest.mark.parametrize(
    ("cell", "same", "digits"),
    [
        ("2024-03-31", "2024-03-31", 10),
        ("2024/03/31", "2024-03-31", 10),
        ("2024-03-31 18:05", "2024-03-31T18:05", 19),
        ("2024-03-31T18:05:09", "2024-03-31T18:05:09", 19),
        ("2024-03-31T18:05:09+02:00", "2024-03-31T16:05:09", 19),
        ("2024-3", "2024-03-01", 7),
        ("1949", "1949-01-01", 4),
        ("2020Q3", "2020-07-01", 7),
    ],
)
def test_dates_as_people_write_them(cell: str, same: str, digits: int) -> None:
    assert as_time(cell) == (int(seconds(same)[0]), digits)


@pytest.mark.parametrize("cell", ["", "yesterday", "31.03.2024", "2024-13-01", "12.5", "99"])
def test_what_is_no_date(cell: str) -> None:
    assert as_time(cell) is None


@pytest.mark.parametrize(
    ("texts", "name", "then"),
    [
        (("2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T02:00"), "1 h", "2024-01-01T03:00"),
        (("2024-01-01T00:00", "2024-01-01T00:15", "2024-01-01T00:30"), "15 min", "2024-01-01T00:45"),
        (("2024-01-06", "2024-01-07", "2024-01-08"), "1 d", "2024-01-09"),
        (("2024-01-07", "2024-01-14", "2024-01-21"), "1 wk", "2024-01-28"),
        (("2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01"), "1 month", "2024-03-01"),
        (("2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29"), "1 month", "2024-03-31"),
        (("2023-01-15", "2023-04-15", "2023-07-15"), "3 month", "2023-10-15"),
        (("2021-01-01", "2022-01-01", "2023-01-01"), "12 month", "2024-01-01"),
        (("2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"), "1 weekday", "2024-01-10"),
    ],
)
def test_the_step_is_found_and_goes_on(texts: tuple[str, ...], name: str, then: str) -> None:
    step = step_of(*texts)
    assert step.name == name
    times = seconds(*texts)
    np.testing.assert_array_equal(step.places(times), np.arange(len(times)))
    assert step.after(int(times[-1]), 1).tolist() == seconds(then).tolist()
    np.testing.assert_array_equal(step.after(int(times[0]), len(times) - 1), times[1:])


def test_a_weekend_is_stepped_over() -> None:
    step = Step("weekday", 1, 10)
    friday = int(seconds("2024-01-05")[0])
    assert [step.text(int(time)) for time in step.after(friday, 3)] == ["2024-01-08", "2024-01-09", "2024-01-10"]


def test_times_are_written_as_the_file_writes_them() -> None:
    time = int(seconds("2024-03-01")[0])
    assert [Step("month", 1, digits).text(time) for digits in (4, 7, 10, 19)] == [
        "2024",
        "2024-03",
        "2024-03-01",
        "2024-03-01 00:00:00",
    ]
    assert Step("number", 1).text(17) == "17"


@pytest.mark.parametrize(
    ("step", "seasons"),
    [
        (Step("second", 3600), (24, 168)),
        (Step("second", 900), (96, 672)),
        (Step("second", 60), (60,)),
        (Step("second", DAY), (7,)),
        (Step("second", 7 * DAY), (52,)),
        (Step("month", 1), (12,)),
        (Step("month", 3), (4,)),
        (Step("month", 12), ()),
        (Step("weekday", 1), (5,)),
        (Step("number", 1), ()),
    ],
)
def test_seasons_follow_from_the_step(step: Step, seasons: tuple[int, ...]) -> None:
    assert step.seasons == seasons


def test_the_calendar_repeats_when_it_should() -> None:
    hourly = Step("second", 3600)
    found = hourly.calendar(seconds("2024-01-01") + 3600 * np.arange(24 * 15))
    assert found.shape == (24 * 15, 4)
    np.testing.assert_allclose(found[:168], found[168:336], atol=1e-5)
    assert np.abs(found[:24] - found[24:48]).max() > 0.1
    assert Step("number", 1).calendar(np.arange(5)).shape == (5, 0)
    assert Step("month", 12).calendar(seconds("2024-01-01", "2025-01-01")).shape == (2, 0)
    year = Step("month", 1).calendar(seconds("2023-02-01", "2023-08-01", "2024-02-01"))
    assert np.abs(year[0] - year[2]).max() < 0.02 < np.abs(year[0] - year[1]).max()


def parse(*cells: str, skip: bool = False) -> tuple[list[int], list[bool], int | None, list[str]]:
    problems = Problems(skip)
    times, good, digits = parse_times(cells, "when", HERE, range(2, 2 + len(cells)), problems)
    return times.tolist(), good.tolist(), digits, [str(error) for error in problems.found]


def test_numbers_are_times_too_and_years_are_dates() -> None:
    assert parse("1", "2", "3")[::2] == ([1, 2, 3], None)
    assert parse("1999", "2000", "2001")[2] == 4
    assert parse("1999", "2000", "3001")[::2] == ([1999, 2000, 3001], None)


def test_what_is_no_time_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match=r"in\.csv, row 3: column 'when' holds 'soon', and a time is needed; write it"):
        parse("2024-01-01", "soon", "2024-01-03")
    _, good, _, found = parse("2024-01-01", "soon", "2024-01-03", skip=True)
    assert good == [True, False, True]
    assert len(found) == 1
    with pytest.raises(DataError, match=r"row 4: column 'when' holds '1\.5'"):
        parse("1", "2", "1.5")


def test_times_without_a_common_step_are_refused() -> None:
    with pytest.raises(DataError, match=r"no common step .* leave the time column out if a row is a step"):
        step_of("2024-01-01", "2024-01-02", "2024-01-05", "2024-01-11", "2024-01-30")
    with pytest.raises(DataError, match="every series has one row"):
        common_step([seconds("2024-01-01")], 10, HERE)


def test_a_step_survives_json_and_damage_is_refused() -> None:
    step = Step("second", 900, 19)
    assert Step.from_json(step.to_json()) == step
    for damaged in ({}, {**step.to_json(), "unit": "fortnight"}, {**step.to_json(), "count": 0}, None):
        with pytest.raises(DataError, match="a step of time needs"):
            Step.from_json(damaged)
