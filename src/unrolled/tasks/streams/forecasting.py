"""Streams of forecasters: new observations in, bands of what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.data.arrays import Exact, Numbers
from unrolled.data.timestamps import Step, as_time
from unrolled.data.windows import Block
from unrolled.errors import ArgumentError
from unrolled.streams.forecast import ForecastChoices, Forecasts, Window
from unrolled.streams.running import NoNetwork, Origin, Running, chosen

if TYPE_CHECKING:
    from unrolled.models.shapes import ForecastShape
    from unrolled.tasks.forecast import ForecastTask
    from unrolled.tasks.forecast_reading import Reading


def forecast_stream(model: ForecastTask, choices: Mapping[str, Any]) -> Running:
    """What comes after the observations so far."""
    import torch

    from unrolled.models.forecast import Window as Batch

    picked = chosen(ForecastChoices, choices)
    window = window_of(model.reading, model.shape, model.levels, picked)
    module = model.module.eval()

    def foretell(block: Block, centre: Numbers, unit: Numbers) -> tuple[Exact, Exact]:
        parts = (block.context, block.seen, block.past, block.known, block.truth, block.counts, centre, unit)
        tensors = [torch.from_numpy(np.array(part, np.float32)).to(model.device) for part in parts]
        found = module.forecast(Batch(*tensors), model.levels)
        centres, quantiles = (part.cpu().numpy().astype(np.float64) for part in found)
        return centres, quantiles

    source = window.input(picked)
    origin = Origin(model.task, model.identity, picked.to_json())
    return Running(origin, source, NoNetwork(), Forecasts(window, source, foretell))


def window_of(reading: Reading, shape: ForecastShape, levels: tuple[float, ...], choices: ForecastChoices) -> Window:
    """What the forecaster reads of the series that the choices name. Raises ArgumentError."""
    start = _start(reading.step, choices.start)
    if reading.calendar and start is None:
        raise ArgumentError("this run reads the calendar; give start='2024-03-31 18:00', the time of the first row")
    names = reading.layout.targets
    return Window(
        shape.context,
        shape.horizon,
        levels,
        names,
        tuple(reading.scales.get(f"{choices.series}/{name}") for name in names),
        reading.past,
        reading.known,
        reading.layout.known,
        reading.joint,
        reading.counts,
        reading.step,
        reading.calendar,
        start,
    )


def _start(step: Step | None, given: str | int | None) -> int | None:
    """The time of the first row as a number; raises ArgumentError."""
    if given is None:
        return None
    if step is None:
        raise ArgumentError(f"start={given!r} was given, and this run was trained without times; leave it out")
    if step.unit == "number":
        if type(given) is int or str(given).lstrip("-").isdecimal():
            return int(given)
    elif (found := as_time(str(given))) is not None:
        return found[0]
    example = "a whole number" if step.unit == "number" else "a time such as 2024-03-31 18:00"
    raise ArgumentError(f"start={given!r} is no time of this run; give {example}")
