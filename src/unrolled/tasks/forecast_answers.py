"""What a forecaster answers: what comes after the end of each series. The network is somebody else's; no torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unrolled.data.arrays import Exact, Ids, Numbers
from unrolled.data.histories import Histories
from unrolled.data.windows import Block, Windows
from unrolled.errors import DataError
from unrolled.models.shapes import ForecastShape
from unrolled.tasks.forecast_reading import Part, Reading
from unrolled.tasks.forecast_report import Foretold


@dataclass(frozen=True)
class Forecast:
    """What comes after the end of one line: H values, their quantiles (H, L), and their times where there are any."""

    series: str
    target: str
    values: Exact
    quantiles: Exact
    times: tuple[str, ...] | None


class ForecastAnswers(ABC):
    """Forecasts of files; `levels` are the probabilities of the quantiles."""

    def __init__(self, reading: Reading, shape: ForecastShape, levels: Sequence[float]) -> None:
        self.reading, self.shape, self.levels = reading, shape, tuple(levels)

    @abstractmethod
    def told(self, windows: Windows, block: Block, seed: int) -> tuple[Exact, Exact]:
        """Centres (B, H) and quantiles (B, H, L) of the windows of a block, in the units of their lines."""

    @property
    @abstractmethod
    def linear_map(self) -> Numbers:
        """The linear forecast (C + 1, H) that every report shows beside the model."""

    def windows(self, part: Part) -> Windows:
        """The windows of a part's lines."""
        return Windows(part.lines, self.shape.context, self.shape.horizon)

    def foretell(self, windows: Windows, lines: Ids, origins: Ids) -> Foretold:
        """Forecasts of these windows in the file's own units, beside what came."""
        size = 512 if not self.shape.recursive else 32
        blocks = list(windows.blocks(lines, origins, size))
        found = [self.told(windows, block, place) for place, block in enumerate(blocks)]
        centres, quantiles = (np.concatenate(part) for part in zip(*found, strict=True))
        told = Foretold.of(windows, blocks, centres, quantiles, self.linear_map)
        return replace(told, quantiles=np.rint(told.quantiles)) if self.reading.counts else told

    def forecast(self, histories: Histories) -> list[Forecast]:
        """What comes after the end of every series; raises DataError where known covariates of it are missing."""
        horizon = self.shape.horizon
        if self.reading.known is not None:
            short = next((history for history in histories.series if history.ahead < horizon), None)
            if short is not None:
                names = ", ".join(self.reading.layout.known)
                raise DataError(
                    f"{names} must be known for the {horizon} steps to forecast and the file has {short.ahead} of "
                    "them; add rows with blank targets",
                    histories.path,
                    short.row,
                )
        lines = self.reading.lines(histories.series, horizon)
        windows = Windows(lines, self.shape.context, horizon)
        found = self.foretell(windows, np.arange(len(lines)), windows.lengths)
        return [
            Forecast(
                line.series,
                line.target,
                found.centres[place],
                found.quantiles[place],
                self._times(line.times, len(line)),
            )
            for place, line in enumerate(lines)
        ]

    def _times(self, times: Ids | None, end: int) -> tuple[str, ...] | None:
        step = self.reading.step
        if times is None or step is None:
            return None
        return tuple(step.text(int(time)) for time in times[end : end + self.shape.horizon])
