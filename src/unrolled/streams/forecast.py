"""Forecasts of a series while its observations come in: the window before now is kept, and nothing older."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.data import Scaler
from unrolled.data.arrays import Exact, Flags, Ids, Numbers
from unrolled.data.timestamps import Step
from unrolled.data.windows import Block, LineScale
from unrolled.streams.numbers import exact_rows
from unrolled.streams.protocol import Answer
from unrolled.streams.saved import Kept, damaged

Foretell = Callable[[Block, Numbers, Numbers], tuple[Exact, Exact]]
"""Centres (K, H) and quantiles (K, H, L) of windows whose lines have these centres and units (K, 1)."""


@dataclass(frozen=True)
class ForecastChoices:
    """`series`: its name; `start`: the time of its first row, where the run has times."""

    series: str = ""
    start: str | int | None = None


@dataclass(frozen=True)
class Window:
    """What a forecaster reads of one series.

    `scales` of its targets, None where the series was not in the training data; `past` scales the further columns of a
    row; `joint`: each target also reads the others; `counts`: quantiles are whole numbers. `start`: the time of the
    first row.
    """

    context: int
    horizon: int
    levels: tuple[float, ...]
    targets: tuple[str, ...]
    scales: tuple[LineScale | None, ...]
    past: Scaler | None = None
    joint: bool = False
    counts: bool = False
    step: Step | None = None
    calendar: bool = False
    start: int | None = None

    @property
    def width(self) -> int:
        """Numbers of a row: the targets, then the columns of the past."""
        return len(self.targets) + (0 if self.past is None else len(self.past.mean))


class ObservationInput:
    """Rows (N, K + P) of new observations, the targets first; None and NaN are not known."""

    def __init__(self, width: int) -> None:
        self.width = width

    def push(self, part: Any) -> Exact:
        return exact_rows(part, self.width, missing=True)

    def finish(self) -> Exact:
        return np.zeros((0, self.width))

    def save(self) -> Kept:
        return Kept()

    def load(self, kept: Kept) -> None:
        """Nothing waits."""


class Recent:
    """The last rows (n, W), and of each column what lies before: its last known value and how far back that is."""

    def __init__(self, width: int, most: int) -> None:
        self.most = most
        self.rows: Exact = np.zeros((0, width))
        self.before: Exact = np.full(width, np.nan)
        self.back: Ids = np.zeros(width, np.int64)

    def take(self, rows: Exact) -> None:
        """The next rows."""
        whole = np.concatenate([self.rows, rows])
        old, self.rows = whole[: -self.most], whole[-self.most :].copy()
        known = ~np.isnan(old)
        last = len(old) - 1 - known[::-1].argmax(0) if len(old) else self.back
        some = known.any(0)
        self.back = np.where(some, len(old) - last, self.back + len(old))
        if len(old):
            self.before = np.where(some, old[np.minimum(last, len(old) - 1), np.arange(old.shape[1])], self.before)

    def bridged(self) -> Exact:
        """The rows with each unknown value on the straight line between its neighbours; 0 where none is known."""
        found = self.rows.copy()
        for column, before, back in zip(found.T, self.before, self.back.tolist(), strict=True):
            places = np.flatnonzero(~np.isnan(column))
            values = column[places]
            if not np.isnan(before):
                places, values = np.concatenate([[-back], places]), np.concatenate([[before], values])
            missing = np.flatnonzero(np.isnan(column))
            column[missing] = np.interp(missing, places, values) if len(places) else 0.0
        return found

    def save(self) -> Kept:
        return Kept(rows=self.rows, before=self.before, back=self.back)

    def load(self, kept: Kept) -> None:
        width = len(self.before)
        self.rows = kept.array("rows", (None, width), np.float64, most=self.most)
        self.before = kept.array("before", (width,), np.float64)
        self.back = kept.array("back", (width,), np.int64)
        if np.isinf(self.rows).any() or np.isinf(self.before).any() or (self.back < 0).any():
            raise damaged("its rows are not finite")


class Moments:
    """Mean, deviation and extremes of columns as rows come, NaN left out (Welford 1962); see `LineScale.fit`."""

    def __init__(self, width: int) -> None:
        # Rows: how many, mean, sum of squared deviations, least, largest in size.
        self.table: Exact = np.zeros((5, width))
        self.table[3] = np.inf

    def take(self, rows: Exact) -> None:
        """The next rows (N, W)."""
        known = ~np.isnan(rows)
        count = known.sum(0)
        mean = np.where(known, rows, 0).sum(0) / np.maximum(count, 1)
        squares = (np.where(known, rows - mean, 0) ** 2).sum(0)
        seen, old, spread, least, size = self.table
        total = np.maximum(seen + count, 1)
        apart = mean - old
        self.table = np.stack(
            [
                seen + count,
                old + apart * count / total,
                spread + squares + apart**2 * seen * count / total,
                np.minimum(least, np.where(known, rows, np.inf).min(0, initial=np.inf)),
                np.maximum(size, np.where(known, np.abs(rows), 0).max(0, initial=0)),
            ]
        )

    def scale(self, place: int, *, counts: bool) -> LineScale:
        """What a column's values so far come to."""
        count, mean, squares, least, size = self.table[:, place].tolist()
        bound = 0.0 if least >= 0 else -np.inf
        if counts:
            return LineScale(0.0, mean if mean > 0 else 1.0, 0.0, 0.0)
        spread = float(np.sqrt(squares / max(count, 1)))
        flat = spread <= 1e-12 * max(size, float(np.finfo(np.float64).tiny))
        return LineScale(mean, 1.0 if flat else spread, 0.0, bound)


class Forecasts:
    """What comes after the rows so far."""

    def __init__(self, window: Window, foretell: Foretell) -> None:
        self.window = window
        self.foretell = foretell
        self.recent = Recent(window.width, window.context)
        self.moments = Moments(len(window.targets))
        self.seen = 0

    def take(self, steps: Exact, outputs: Any) -> None:
        self.recent.take(steps)
        self.moments.take(steps[:, : len(self.window.targets)])
        self.seen += len(steps)

    def answer(self, *, final: bool) -> Answer:
        window = self.window
        if not (self.moments.table[0] > 0).all():
            return {"forecast": None, "times": None}
        scales = [s or self.moments.scale(k, counts=window.counts) for k, s in enumerate(window.scales)]
        mean, unit = (np.array([[getattr(s, name)] for s in scales]) for name in ("mean", "scale"))
        block = self._block(mean, unit)
        centres, quantiles = self.foretell(block, mean.astype(np.float32), unit.astype(np.float32))
        least = np.array([[s.least] for s in scales])
        centres = np.maximum(centres * unit + mean, least)
        quantiles = np.maximum(quantiles * unit[..., None] + mean[..., None], least[..., None])
        quantiles = np.rint(quantiles) if window.counts else quantiles
        names = [f"{level:g}" for level in window.levels]
        return {
            "forecast": {
                target: {
                    "values": centres[place].tolist(),
                    "quantiles": dict(zip(names, quantiles[place].T.tolist(), strict=True)),
                }
                for place, target in enumerate(window.targets)
            },
            "times": self._told(),
        }

    def save(self) -> Kept:
        return Kept.join(recent=self.recent.save(), line=Kept(moments=self.moments.table, seen=self.seen))

    def load(self, kept: Kept) -> None:
        self.recent.load(kept.within("recent"))
        line = kept.within("line")
        self.moments.table = line.array("moments", self.moments.table.shape, np.float64)
        self.seen = line.count("seen")

    def _block(self, mean: Exact, unit: Exact) -> Block:
        """The window before now of every target; before the first row a line is level and unseen."""
        window, count = self.window, len(self.window.targets)
        rows, filled = self.recent.rows, self.recent.bridged()
        place = np.maximum(np.arange(-window.context, 0) + len(rows), 0)
        real = np.arange(-window.context, 0) + len(rows) >= 0
        standard = ((filled[:, :count] - mean.T) / unit.T).astype(np.float32)
        seen: Flags = ~np.isnan(rows[:, :count])[place] & real[:, None]
        past = self._past(filled, standard)[:, place]
        known = np.broadcast_to(self._calendar(), (count, *self._calendar().shape))
        nothing = np.zeros((count, window.horizon), np.float32)
        which = np.arange(count)
        return Block(
            standard[place].T, seen.T, past, known, nothing, nothing.astype(bool), which, np.zeros_like(which)
        )  # fmt: skip

    def _past(self, filled: Exact, standard: Numbers) -> Numbers:
        """Covariates (K, n, P): the columns of the past, and of a joint forecast the other targets."""
        window, count = self.window, len(self.window.targets)
        own = np.empty((len(filled), 0), np.float32)
        own = own if window.past is None else window.past.transform(filled[:, count:])
        others = [np.delete(standard, k, 1) if window.joint else standard[:, :0] for k in range(count)]
        return np.stack([np.concatenate([own, other], 1) for other in others])

    def _calendar(self) -> Numbers:
        """What the calendar says of the window and the horizon, (C + H, Q)."""
        window = self.window
        if not window.calendar or window.step is None or window.start is None:
            return np.empty((window.context + window.horizon, 0), np.float32)
        steps = np.arange(-window.context, window.horizon) + self.seen
        return window.step.calendar(window.step.later(window.start, np.maximum(steps, 0)))

    def _told(self) -> list[str] | None:
        window = self.window
        if window.step is None or window.start is None:
            return None
        times: Sequence[int] = window.step.later(window.start, np.arange(window.horizon) + self.seen).tolist()
        return [window.step.text(time) for time in times]
