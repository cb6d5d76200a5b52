"""Time stamps: reading them, the step between them, going on past the last, what the calendar says of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.arrays import Exact, Flags, Ids, Numbers
from unrolled.data.problems import Problems
from unrolled.errors import DataError

DAY, WEEK = 86_400, 604_800
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])")
_YEAR = re.compile(r"[12]\d{3}")
_NAMES = {1: "s", 60: "min", 3600: "h", DAY: "d", WEEK: "wk"}


@dataclass(frozen=True)
class Step:
    """How far a row is from the one before: `count` of `unit` (second, weekday, month or number).

    `digits` is how much of a date is written: 4 the year, 7 the month, 10 the day, 19 the second.
    """

    unit: str
    count: int
    digits: int = 19

    def places(self, times: Ids) -> Exact:
        """How many steps each time lies after the first; not whole where a time is off the step."""
        if self.unit == "month":
            months = _months(times)
            found = (months - months[0]) / self.count
            on_the_day: Exact = np.where(times == _of_months(months, int(times[0])), found, found + 0.5)
            return on_the_day
        if self.unit == "weekday":  # holidays are left out of such tables, so a row is a step
            return np.arange(len(times), dtype=np.float64)
        places: Exact = (times - times[0]) / self.count
        return places

    def after(self, last: int, steps: int) -> Ids:
        """The `steps` times that follow `last`."""
        return self.later(last, np.arange(1, steps + 1))

    def later(self, last: int, ahead: Ids) -> Ids:
        """The times that lie so many steps after `last`."""
        if self.unit == "month":
            start = np.array([last])
            return _of_months(_months(start) + self.count * ahead, last)
        if self.unit == "weekday":
            day = np.datetime64(last, "s").astype("datetime64[D]")
            days = np.busday_offset(day, self.count * ahead, roll="forward")
            return days.astype("datetime64[s]").astype(np.int64) + last % DAY
        times: Ids = last + self.count * ahead
        return times

    def text(self, time: int) -> str:
        """A time as the file writes it."""
        if self.unit == "number":
            return str(time)
        return str(np.datetime64(time, "s"))[: self.digits].replace("T", " ")

    @property
    def name(self) -> str:
        """For a reader: 1 h, 15 min, 1 month, 1 weekday."""
        if self.unit != "second":
            return f"{self.count} {self.unit}"
        size = max(size for size in _NAMES if self.count % size == 0)
        return f"{self.count // size} {_NAMES[size]}"

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps in a day, a week or a year, whichever the step suggests, shortest first; empty where none."""
        if self.unit == "weekday":
            return (5,)
        if self.unit == "month":
            return (12 // self.count,) if self.count < 12 and 12 % self.count == 0 else ()
        if self.unit == "number":
            return ()
        if self.count == WEEK:
            return (52,)
        spans = (3600,) if self.count < 300 else (DAY, WEEK)
        return tuple(span // self.count for span in spans if span % self.count == 0 and span > self.count)

    def calendar(self, times: Ids) -> Numbers:
        """Sine and cosine of the time of day, of the week and of the year, as far as the step can tell: (T, F)."""
        if self.unit == "number":
            return np.empty((len(times), 0), np.float32)
        day, week = (times % DAY) / DAY, ((times + 3 * DAY) % WEEK) / WEEK  # the first of January 1970 was a Thursday
        stamps = times.astype("datetime64[s]")
        year = (stamps - stamps.astype("datetime64[Y]")).astype(np.float64) / (365.25 * DAY)
        within_day = self.unit == "second" and self.count < DAY
        wanted = [day] if within_day else []
        wanted += [week] if within_day or self.unit == "weekday" or (self.unit, self.count) == ("second", DAY) else []
        wanted += [] if within_day or (self.unit == "month" and self.count >= 12) else [year]
        angles = 2 * np.pi * np.stack(wanted, 1) if wanted else np.empty((len(times), 0))
        return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Step:
        """What `to_json` wrote; DataError for anything else."""
        known = isinstance(data, dict) and set(data) == {"unit", "count", "digits"}
        if not known or data["unit"] not in ("second", "month", "weekday", "number"):  # type: ignore[index]
            raise DataError("a step of time needs unit, count and digits; restore the file")
        step = cls(**data)  # type: ignore[arg-type]
        if type(step.count) is not int or step.count < 1 or type(step.digits) is not int:
            raise DataError("a step of time needs whole numbers as count and digits; restore the file")
        return step


def _months(times: Ids) -> Ids:
    return times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def _of_months(months: Ids, like: int) -> Ids:
    """The time in each month that `like` is in its own: the same day, the month's last where that is meant."""
    own = _months(np.array([like]))
    place = like - _month_start(own)[0]
    to_the_end = _month_start(own + 1)[0] - _month_start(own)[0] - place
    starts, lengths = _month_start(months), _month_start(months + 1) - _month_start(months)
    found: Ids = starts + (lengths - to_the_end if to_the_end <= DAY < place else np.minimum(place, lengths - DAY))
    return found


def _month_start(months: Ids) -> Ids:
    return months.astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)


def as_time(cell: str) -> tuple[int, int] | None:
    """A cell as seconds since 1970 and the digits that it is written with; None where it is no date."""
    cell = cell.strip().replace("/", "-")
    if _YEAR.fullmatch(cell):
        cell, digits = f"{cell}-01-01", 4
    elif match := _QUARTER.fullmatch(cell):
        cell, digits = f"{match[1]}-{3 * int(match[2]) - 2:02d}-01", 7
    elif match := _MONTH.fullmatch(cell):
        cell, digits = f"{match[1]}-{int(match[2]):02d}-01", 7
    else:
        digits = 10 if len(cell) <= 10 else 19
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return int(found.timestamp()), digits


def parse_times(
    cells: Sequence[str], name: str, path: Path, rows: Sequence[int], problems: Problems
) -> tuple[Ids, Flags, int | None]:
    """Times (N,), which of them could be read, and the digits of dates, None for plain numbers of steps."""
    times = np.zeros(len(cells), dtype=np.int64)
    good = np.ones(len(cells), dtype=bool)
    dates = [as_time(cell) for cell in cells]
    numbered = all(date is None or date[1] == 4 for date in dates) and any(date is None for date in dates)
    for place, (cell, date) in enumerate(zip(cells, dates, strict=True)):
        number = _whole(cell) if numbered else None
        if number is None and (date is None or numbered):
            problems.report(
                DataError(
                    f"column {name!r} holds {cell[:40]!r}, and a time is needed; write it as 2024-03-31, "
                    "2024-03-31 18:00, 2024-03, 2024 or a whole number",
                    path,
                    rows[place],
                )
            )
            good[place] = False
            continue
        times[place] = number if number is not None else date[0]  # type: ignore[index]
    digits = None if numbered else max((date[1] for date in dates if date is not None), default=10)
    return times, good, digits


def _whole(cell: str) -> int | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else None


def common_step(series: Sequence[Ids], digits: int | None, path: Path) -> Step:
    """The step that most rows are apart; DataError where there is none."""
    lengths = [np.diff(times) for times in series if len(times) > 1]
    if not lengths:
        raise DataError("every series has one row, and a forecast needs steps in time; give more rows", path)
    differences = np.concatenate(lengths)
    commonest, count = Counter(differences.tolist()).most_common(1)[0]
    if digits is None:
        return Step("number", _frequent(commonest, count, len(differences), path))
    monthly = np.concatenate([np.diff(_months(times)) for times in series if len(times) > 1])
    same_place = all((times == _of_months(_months(times), int(times[0]))).all() for times in series)
    if commonest >= 28 * DAY and same_place and monthly.min() > 0:
        return Step("month", int(Counter(monthly.tolist()).most_common(1)[0][0]), min(digits, 10))
    weekdays = commonest == DAY and 2 * count >= len(differences)
    if weekdays and all((((t // DAY) + 3) % 7 < 5).all() for t in series) and differences.max() >= 3 * DAY:
        return Step("weekday", 1, digits)
    return Step("second", _frequent(commonest, count, len(differences), path), digits)


def _frequent(commonest: int, count: int, total: int, path: Path) -> int:
    if 2 * count < total:
        raise DataError(
            f"the time stamps have no common step (the commonest joins {count} of {total} neighbouring rows); "
            "bring the rows to equal steps of time, or leave the time column out if a row is a step",
            path,
        )
    return commonest
