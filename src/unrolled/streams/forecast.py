"""Forecasts of a series while its observations come in: the window before now is kept, and nothing older."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.data import Scaler
from unrolled.data.arrays import Exact, Flags, Numbers
from unrolled.data.timestamps import Step
from unrolled.data.windows import Block, LineScale
from unrolled.streams.observations import Moments, ObservationInput, Recent
from unrolled.streams.protocol import Answer
from unrolled.streams.saved import Kept

Foretell = Callable[[Block, Numbers, Numbers], tuple[Exact, Exact]]
"""Centres (K, H) and quantiles (K, H, L) of windows whose lines have these centres and units (K, 1)."""


@dataclass(frozen=True)
class ForecastChoices:
    """`series`: its name; `start`: the time of its first row, where the run has times.

    `ahead` (M, Q): the columns that are known ahead, from the first row on; see `ObservationInput`.
    """

    series: str = ""
    start: str | int | None = None
    ahead: Any = None

    def to_json(self) -> dict[str, Any]:
        """What a state holds: all but what is ahead, which is used up."""
        return {"series": self.series, "start": self.start}


@dataclass(frozen=True)
class Window:
    """What a forecaster reads of one series.

    `scales` of its targets, None where the series was not in the training data; `past` and `known` scale the further
    columns of a row, of which `known_names` come last; `joint`: each target also reads the others; `counts`: quantiles
    are whole numbers. `start`: the time of the first row.
    """

    context: int
    horizon: int
    levels: tuple[float, ...]
    targets: tuple[str, ...]
    scales: tuple[LineScale | None, ...]
    past: Scaler | None = None
    known: Scaler | None = None
    known_names: tuple[str, ...] = ()
    joint: bool = False
    counts: bool = False
    step: Step | None = None
    calendar: bool = False
    start: int | None = None

    @property
    def width(self) -> int:
        """Numbers of a row: the targets, the columns of the past, those that are known ahead."""
        return len(self.targets) + (0 if self.past is None else len(self.past.mean)) + len(self.known_names)

    def input(self, choices: ForecastChoices) -> ObservationInput:
        """What reads its rows. Raises ArgumentError."""
        return ObservationInput(self.width, self.known_names, self.horizon, choices.ahead)


class Forecasts:
    """What comes after the rows so far, which `source` has read."""

    def __init__(self, window: Window, source: ObservationInput, foretell: Foretell) -> None:
        self.window = window
        self.source = source
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
        unknown = len(self.source.known) > 0 and len(self.source.ahead) < window.horizon
        if unknown or not (self.moments.table[0] > 0).all():
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
        ahead = np.concatenate([self._known(rows[place]), self._calendar()], 1)
        known = np.broadcast_to(ahead, (count, *ahead.shape))
        nothing = np.zeros((count, window.horizon), np.float32)
        which = np.arange(count)
        return Block(
            standard[place].T, seen.T, past, known, nothing, nothing.astype(bool), which, np.zeros_like(which)
        )  # fmt: skip

    def _past(self, filled: Exact, standard: Numbers) -> Numbers:
        """Covariates (K, n, P): the columns of the past, and of a joint forecast the other targets."""
        window, count = self.window, len(self.window.targets)
        own = np.empty((len(filled), 0), np.float32)
        if window.past is not None:
            own = window.past.transform(filled[:, count : count + len(window.past.mean)])
        others = [np.delete(standard, k, 1) if window.joint else standard[:, :0] for k in range(count)]
        return np.stack([np.concatenate([own, other], 1) for other in others])

    def _known(self, context: Exact) -> Numbers:
        """The columns that are known ahead, of the context (C, W) and of the horizon, (C + H, Q)."""
        window, width = self.window, len(self.window.known_names)
        if window.known is None:
            return np.empty((window.context + window.horizon, 0), np.float32)
        return window.known.transform(np.concatenate([context[:, -width:], self.source.ahead[: window.horizon]]))

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
