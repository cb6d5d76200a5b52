"""Lengths of time as people write them: `90s`, `3m`, `1h30m`, `1.5h`, or plain seconds; how often to save."""

from __future__ import annotations

import math
import re

from unrolled.errors import UsageError

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([hms])")
_STEPS = re.compile(r"(\d+)\s*steps?")


def parse_duration(text: str) -> float:
    """Seconds in `text`; UsageError unless it is a positive length of time."""
    compact = text.strip().lower()
    parts = _PART.findall(compact)
    try:
        whole = "".join(f"{number}{unit}" for number, unit in parts) == re.sub(r"\s+", "", compact)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts and whole else float(compact)
    except ValueError:
        seconds = math.nan
    if not (0 < seconds < math.inf):
        raise UsageError(f"{text!r} is no length of time: write seconds, or a sum such as 90s, 3m or 1h30m.")
    return seconds


def parse_interval(text: str) -> tuple[float | None, int | None]:
    """Seconds or steps between two checkpoints; UsageError unless it is a length of time or a number of steps."""
    steps = _STEPS.fullmatch(text.strip().lower())
    if steps is None:
        try:
            return parse_duration(text), None
        except UsageError:
            raise UsageError(f"{text!r} says not how often to save: write a time such as 5m, or 500steps.") from None
    if int(steps[1]) < 1:
        raise UsageError(f"{text!r} says not how often to save: give at least one step.")
    return None, int(steps[1])


def format_duration(seconds: float) -> str:
    """`seconds` in the same notation, e.g. 5400 -> "1h30m"; below a minute to a tenth of a second."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number)
