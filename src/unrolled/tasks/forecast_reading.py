"""From the series of a file to lines that a forecaster reads: scales, seasons and covariates as learnt in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unrolled.data import Scaler
from unrolled.data.arrays import Exact, Numbers
from unrolled.data.histories import Histories, History, Layout, bridged
from unrolled.data.seasons import find_seasons
from unrolled.data.timestamps import Step
from unrolled.data.windows import Line, LineScale
from unrolled.errors import DataError, RunError
from unrolled.tasks.options import ForecastOptions

# Windows that say well enough which weights are the best; more would only take data away from the training.
ENOUGH_WINDOWS = 2000


@dataclass(frozen=True)
class Reading:
    """How files are read, and what was learnt of them on the training part alone.

    `seasons` in steps, shortest first; `scales` by line ("series/target"); `past` and `known` scale covariates.
    """

    layout: Layout
    step: Step | None
    seasons: tuple[int, ...]
    calendar: bool
    joint: bool
    counts: bool
    scales: Mapping[str, LineScale] = field(repr=False)
    past: Scaler | None = None
    known: Scaler | None = None

    @classmethod
    def learn(cls, histories: Histories, ends: Sequence[int], options: ForecastOptions) -> Reading:
        """From the first `ends` steps of each series; raises DataError where counts are asked for and are none."""
        parts = [(history, history.targets[:end]) for history, end in zip(histories.series, ends, strict=True)]
        counts = options.distribution == "negative-binomial"
        if counts:
            _check_counts(histories)
        seasons = _seasons(histories, [values for _, values in parts], options)
        season = seasons[0] if seasons else 1
        names = histories.layout.targets
        scales = {
            _key(history, name): LineScale.fit(values[:, place], season, counts=counts)
            for history, values in parts
            for place, name in enumerate(names)
        }
        calendar = options.calendar if options.calendar is not None else histories.step is not None
        return cls(
            histories.layout,
            histories.step,
            seasons,
            calendar and histories.step is not None,
            options.joint and len(names) > 1,
            counts,
            scales,
            _scaler([history.past[:end] for history, end in zip(histories.series, ends, strict=True)]),
            _scaler([history.known[:end] for history, end in zip(histories.series, ends, strict=True)]),
        )

    @property
    def season(self) -> int:
        """Steps of the shortest season, 1 where there is none."""
        return self.seasons[0] if self.seasons else 1

    def lines(self, histories: Sequence[History], horizon: int) -> list[Line]:
        """A line for each target of each series; the calendar goes on for a horizon beyond the last step."""
        return [line for history in histories for line in self._of(history, horizon)]

    def _of(self, history: History, horizon: int) -> list[Line]:
        names = self.layout.targets
        scales = [self.scale_of(history, place) for place in range(len(names))]
        past = np.empty((len(history), 0), np.float32) if self.past is None else self.past.transform(history.past)
        known, times = self._known(history, horizon)
        filled = bridged(history.targets)
        standard = np.stack([(filled[:, k] - s.mean) / s.scale for k, s in enumerate(scales)], 1).astype(np.float32)
        return [
            Line(
                history.name,
                name if len(names) > 1 or not history.name else "",
                history.targets[:, place],
                np.concatenate([past, np.delete(standard, place, 1)], 1) if self.joint else past,
                known,
                scales[place],
                times=times,
            )
            for place, name in enumerate(names)
        ]

    def scale_of(self, history: History, place: int) -> LineScale:
        """The scale of a line as learnt in training, of one that was not there from what is given of it."""
        key = _key(history, self.layout.targets[place])
        if key in self.scales:
            return self.scales[key]
        return LineScale.fit(history.targets[:, place], self.season, counts=self.counts)

    def _known(self, history: History, horizon: int) -> tuple[Numbers, Any]:
        """Known covariates and calendar (T + F, Q), and the times; without columns of a file F is the horizon."""
        times = history.times
        ahead = history.ahead if self.known is not None else horizon
        if times is not None and self.step is not None:
            times = times[: len(history) + ahead]
            short = len(history) + ahead - len(times)
            if short > 0:
                times = np.concatenate([times, self.step.after(int(times[-1]), short)])
        size = len(history) + ahead
        parts = [np.empty((size, 0), np.float32)]
        if self.known is not None:
            parts.append(self.known.transform(history.known))
        if self.calendar and times is not None and self.step is not None:
            parts.append(self.step.calendar(times))
        return np.concatenate(parts, 1), times

    @property
    def widths(self) -> tuple[int, int]:
        """Numbers that a step has of past and of known covariates."""
        past = (0 if self.past is None else len(self.past.mean)) + self.joint * (len(self.layout.targets) - 1)
        known = 0 if self.known is None else len(self.known.mean)
        if self.calendar and self.step is not None:
            known += self.step.calendar(np.zeros(1, np.int64)).shape[1]
        return past, known

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "layout": self.layout.to_json(),
            "step": None if self.step is None else self.step.to_json(),
            "seasons": list(self.seasons),
            "calendar": self.calendar,
            "joint": self.joint,
            "counts": self.counts,
            "scales": {name: [s.mean, s.scale, s.seasonal, s.least == 0] for name, s in self.scales.items()},
            "past": None if self.past is None else self.past.to_json(),
            "known": None if self.known is None else self.known.to_json(),
        }

    @classmethod
    def from_json(cls, data: object) -> Reading:
        """What `to_json` wrote; RunError for anything else."""
        names = {"layout", "step", "seasons", "calendar", "joint", "counts", "scales", "past", "known"}
        if not isinstance(data, dict) or set(data) != names:
            raise RunError("the data's schema does not say how series are read")
        try:
            scales = {name: _scale(found) for name, found in dict(data["scales"]).items()}
            flags = {name: bool(data[name]) for name in ("calendar", "joint", "counts")}
            return cls(
                Layout.from_json(data["layout"]),
                None if data["step"] is None else Step.from_json(data["step"]),
                tuple(int(season) for season in data["seasons"]),
                scales=scales,
                past=None if data["past"] is None else Scaler.from_json(data["past"]),
                known=None if data["known"] is None else Scaler.from_json(data["known"]),
                **flags,
            )
        except (DataError, TypeError, ValueError) as error:
            raise RunError(f"the data's schema is damaged ({error})") from None


def _scale(found: Any) -> LineScale:
    mean, scale, seasonal, bounded = found
    numbers = [float(number) for number in (mean, scale, seasonal)]
    if not np.isfinite(numbers).all() or numbers[1] <= 0:
        raise ValueError("a scale is not above 0")
    return LineScale(numbers[0], numbers[1], numbers[2], 0.0 if bounded else -np.inf)


def _key(history: History, target: str) -> str:
    return f"{history.name}/{target}"


def _scaler(parts: Sequence[Exact]) -> Scaler | None:
    return Scaler.fit(parts) if parts and parts[0].shape[1] else None


def _seasons(histories: Histories, parts: Sequence[Exact], options: ForecastOptions) -> tuple[int, ...]:
    if options.season:
        return tuple(sorted(season for season in set(options.season) if season > 1))
    if histories.step is not None and histories.step.unit != "number":
        shortest = min(len(values) for values in parts)
        return tuple(season for season in histories.step.seasons if 2 * season <= shortest)
    return find_seasons([column for values in parts for column in values.T])


def _check_counts(histories: Histories) -> None:
    for history in histories.series:
        known = history.targets[~np.isnan(history.targets)]
        if (known < 0).any() or (known != np.floor(known)).any():
            bad = float(known[(known < 0) | (known != np.floor(known))][0])
            raise DataError(
                f"{bad:g} is no count, and a negative binomial forecasts 0, 1, 2, ...; choose another distribution",
                histories.path,
            )


@dataclass(frozen=True)
class Part:
    """Lines, of which the steps from each one's `begin` on are learnt or measured.

    They are measured from every `stride`-th step, from fewer where those would be more than `most` windows.
    """

    reading: Reading
    lines: tuple[Line, ...]
    stride: int = 1
    most: int = 25_000

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def values(self) -> int:
        """How many are learnt or measured."""
        return sum(len(line) - line.begin for line in self.lines)


def follow(before: Histories, more: Histories) -> list[tuple[History, int]]:
    """The series of `more`, each put behind the one of its name that it goes on from, and where the new steps begin.

    A series goes on where its first time is the step after the last, or where there are no times. One whose file also
    holds what was there before begins after that; any other stands by itself (0).
    """
    known = {history.name: history for history in before.series}
    return [_followed(known.get(history.name), history, before.step) for history in more.series]


def _followed(before: History | None, more: History, step: Step | None) -> tuple[History, int]:
    if before is None or before.targets.shape[1:] != more.targets.shape[1:]:
        return more, 0
    if step is not None and more.times is not None and before.times is not None:
        last = int(before.times[len(before) - 1])
        if more.times[0] != step.after(last, 1)[0]:
            shared = int((more.times[: len(more)] <= last).sum())
            return more, 0 if shared == len(more) else shared
        times = np.concatenate([before.times[: len(before)], more.times])
    else:
        times = None
    return replace(
        more,
        targets=np.concatenate([before.targets, more.targets]),
        past=np.concatenate([before.past, more.past]),
        known=np.concatenate([before.known[: len(before)], more.known]),
        times=times,
    ), len(before)


def held_out(steps: int, lines: int, options: ForecastOptions) -> int:
    """Steps at the end of a series that validate: a share of it, a horizon at least, not more than are needed."""
    if options.validation == 0:
        return 0
    most = options.horizon + -(-ENOUGH_WINDOWS // lines)
    return max(options.horizon, min(round(options.validation * steps), most))
