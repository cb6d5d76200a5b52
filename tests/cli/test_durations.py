from __future__ import annotations

import pytest

from unrolled.cli.durations import format_duration, parse_duration
from unrolled.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("3m", 180),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("1.5h", 5400),
        ("0.5s", 0.5),
        ("45", 45),
        ("2e1", 20),
        (" 3M ", 180),
    ],
)
def test_people_write_times_in_many_ways(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "3x", "m", "-3m", "0", "0s", "nan", "inf", "3m5", "1h,30m", "3 minutes"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no length of time: write seconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2s"), (5, "5s"), (59.96, "60s"), (180, "3m"), (5400, "1h30m"), (3601, "1h1s")]
)
def test_times_are_shown_as_they_are_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
