"""A forecaster without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from unrolled.data.arrays import Exact, Numbers
from unrolled.data.histories import Histories, read_histories
from unrolled.data.windows import Block, Windows
from unrolled.models.shapes import FLOOR, ForecastShape
from unrolled.runtime.heads import Head, head_of
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Attention, Linear, relu
from unrolled.runtime.recurrent import State
from unrolled.runtime.weights import Array
from unrolled.streams.forecast import ForecastChoices, Forecasts
from unrolled.streams.running import NoNetwork, Running, chosen
from unrolled.tasks.forecast_answers import Forecast as Told
from unrolled.tasks.forecast_answers import ForecastAnswers
from unrolled.tasks.schemas import ForecastSchema, forecast_schema
from unrolled.tasks.streams.forecasting import window_of

_PATHS = 100


class Window(NamedTuple):
    """See `models.forecast.Window`; what is to come is not known here."""

    context: Array
    seen: Array
    past: Array
    known: Array
    centre: Array
    unit: Array

    @classmethod
    def of(cls, block: Block, centre: Numbers, unit: Numbers) -> Window:
        """A block of windows whose lines have these centres and units (B, 1)."""
        parts = (block.context, block.seen, block.past, block.known, centre, unit)
        return cls(*(np.asarray(part, np.float32) for part in parts))


class Network:
    """Segments of a series -> recurrent layers -> parameters of each coming value; see `models.ForecastNetwork`."""

    def __init__(self, run: Run, shape: ForecastShape, head: Head) -> None:
        weights = run.weights
        self.shape, self.head = shape, head
        self.recurrent = run.recurrent()
        width, features = run.plan.inputs, self.recurrent.output_size
        covariates = shape.known + (0 if shape.recursive else shape.past)
        self.read = Linear(shape.segment * (2 + covariates), width, weights.under("read"))
        self.attention = None
        if shape.attention is not None:
            self.attention = Attention(shape.attention, features, features, weights.under("attention"))
            features *= 2
        self.output = Linear(features, shape.segment * head.size, weights.under("output"))
        if not shape.recursive:
            self.place = weights.take("place", shape.ahead, width)
            wide = shape.segment * shape.known
            self.ahead = Linear(wide, width, weights.under("ahead"), bias=False) if wide else None
            self.linear = Linear(shape.context, shape.horizon, weights.under("linear"))

    def forecast(self, window: Window, levels: Sequence[float], seed: int = 0) -> tuple[Exact, Exact]:
        """Centre (B, H) and quantiles (B, H, L) in the units of the lines."""
        level, scale = self._normal(window)
        x = (window.context - level) / scale
        if self.shape.recursive:
            centre, quantiles = self._fed_back(x, window, levels, scale, seed)
        else:
            head, parameters = self.head.at(scale * window.unit), self._direct(x, window)
            centre, quantiles = head.centre(parameters), head.quantiles(parameters, levels)
        centre, quantiles = centre * scale + level, quantiles * scale[..., None] + level[..., None]
        return centre.astype(np.float64), quantiles.astype(np.float64)

    def _normal(self, window: Window) -> tuple[Array, Array]:
        """Level and scale (B, 1) of each window; counts are only divided, so that 0 stays 0."""
        x, seen = window.context, window.seen
        if self.head.counts:
            level = -window.centre / window.unit
            return level, np.abs(x - level).mean(1, keepdims=True) + 1 / window.unit
        known = np.maximum(seen.sum(1, keepdims=True), 1)
        mean = (x * seen).sum(1, keepdims=True) / known
        deviation = np.square((x - mean) * seen).sum(1, keepdims=True) / known
        return x[:, -1:], np.sqrt(deviation) + np.float32(FLOOR)

    def _direct(self, x: Array, window: Window) -> Array:
        """Parameters (B, H, size) of the horizon, from the context (B, C) in the window's own units."""
        shape, rows = self.shape, len(x)
        known, coming = window.known[:, : shape.context], window.known[:, shape.context :]
        steps = np.concatenate([np.stack([x, 1 - window.seen], 2), window.past, known], 2)
        places = np.broadcast_to(self.place, (rows, *self.place.shape))
        if self.ahead is not None:
            places = places + self.ahead(self._segments(self._whole(coming)))
        read = np.concatenate([relu(self.read(self._segments(steps))), places], 1)
        outputs, _ = self.recurrent(read)
        before, after = outputs[:, : -shape.ahead], outputs[:, -shape.ahead :]
        if self.attention is not None:
            after = np.concatenate([after, self.attention(after, self.attention.memory(before))[0]], 2)
        parameters = self.output(after).reshape(rows, -1, self.head.size)[:, : shape.horizon]
        return self._moved(parameters, self.linear(x))

    def _fed_back(
        self, x: Array, window: Window, levels: Sequence[float], scale: Array, seed: int
    ) -> tuple[Array, Array]:
        """Paths are drawn a segment at a time, each read before the next; quantiles are those of the paths."""
        shape, rows = self.shape, len(x)
        paths = _PATHS if self.head.size > 1 else 1
        uniform, known = _Uniform(seed), self._whole(window.known)
        outputs, state = self.recurrent(self._inputs(x, window.seen, known))
        outputs, values, known = (part.repeat(paths, 0) for part in (outputs[:, -1:], x[:, -shape.segment :], known))
        state = tuple(tuple(tuple(part.repeat(paths, 0) for part in parts) for parts in layer) for layer in state)
        head = self.head.at((scale * window.unit).repeat(paths, 0))
        whole = self._paths(head, outputs, values, known, state, uniform).reshape(rows, paths, shape.horizon)
        found = np.quantile(whole, [*levels, 0.5], axis=1).astype(np.float32)
        found = np.moveaxis(found, 0, -1)
        return found[..., -1], found[..., :-1]

    def _paths(self, head: Head, outputs: Array, values: Array, known: Array, state: State, uniform: _Uniform) -> Array:
        shape, drawn = self.shape, []
        for place in range(shape.ahead):
            # One rank for a whole segment: its values rise and fall together, as neighbours do.
            rank = np.clip(uniform(len(values)), np.float32(1e-3), np.float32(1 - 1e-3))
            values = head.draw(self._next(outputs, values), np.broadcast_to(rank[:, None], (len(rank), shape.segment)))
            drawn.append(values)
            if place + 1 < shape.ahead:
                start = shape.context + place * shape.segment
                outputs, state = self.recurrent(self._inputs(values, np.ones_like(values), known[:, start:]), state)
        return np.concatenate(drawn, 1)[:, : shape.horizon]

    def _inputs(self, values: Array, seen: Array, known: Array) -> Array:
        """What the recurrent layers read: a segment's values and the known covariates of the one after it."""
        coming = known[:, self.shape.segment : self.shape.segment + values.shape[1]]
        steps = np.concatenate([np.stack([values * seen, 1 - seen], 2), coming], 2)
        return relu(self.read(self._segments(steps)))

    def _next(self, outputs: Array, values: Array) -> Array:
        parameters = self.output(outputs).reshape(len(outputs), -1, self.head.size)
        size, count = self.shape.segment, outputs.shape[1]
        last = values[:, size - 1 :: size][:, :count]
        return self._moved(parameters, last.repeat(size, 1))

    def _segments(self, steps: Array) -> Array:
        """(B, n * w, F) as (B, n, w * F)."""
        width = self.shape.segment * steps.shape[2]
        return steps.reshape(len(steps), steps.shape[1] // self.shape.segment, width)

    def _whole(self, steps: Array) -> Array:
        """Steps (B, L, F) filled up with 0 to whole segments."""
        short = -steps.shape[1] % self.shape.segment
        return np.pad(steps, ((0, 0), (0, short), (0, 0)))

    def _moved(self, parameters: Array, location: Array) -> Array:
        located = self.head.located
        return np.concatenate([parameters[..., :located] + location[..., None], parameters[..., located:]], -1)


class _Uniform:
    """Float32 numbers in [0, 1) as torch's generator draws them from a seed, so that paths are the same ones."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.RandomState(seed)  # the generator that torch has

    def __call__(self, count: int) -> Array:
        drawn = self._bits.randint(0, 2**32, count, dtype=np.uint32) & np.uint32(2**24 - 1)
        return drawn.astype(np.float32) / np.float32(2**24)


class Forecast(ForecastAnswers, Model):
    """The next values of every series of a file, with quantiles."""

    task = "forecast"

    def __init__(self, run: Run, schema: ForecastSchema, head: Head) -> None:
        Model.__init__(self, run)
        ForecastAnswers.__init__(self, schema.reading, schema.shape, schema.levels)
        self.network = Network(run, schema.shape, head)
        self._linear = run.weights.take("linear_map", schema.shape.context + 1, schema.shape.horizon)

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        schema = forecast_schema(run.schema)
        return partial(cls, run, schema, head_of(schema.distribution, schema.levels))

    def read(self, path: Path) -> Histories:
        return read_histories(path, self.reading.layout)

    def answers(self, inputs: Histories) -> list[dict[str, Any]]:
        names = [f"{level:g}" for level in self.levels]
        return [
            {
                "series": one.series,
                "target": one.target,
                "times": None if one.times is None else list(one.times),
                "values": one.values.tolist(),
                "quantiles": dict(zip(names, one.quantiles.T.tolist(), strict=True)),
            }
            for one in self.predict(inputs)
        ]

    def predict(self, inputs: str | Path | Histories) -> list[Told]:
        """What comes after the end of every series of a file, or of histories that were read before."""
        return self.forecast(inputs if isinstance(inputs, Histories) else self.read(Path(inputs)))

    def told(self, windows: Windows, block: Block, seed: int) -> tuple[Exact, Exact]:
        window = Window.of(block, windows.centres[block.lines], windows.units[block.lines])
        return self.network.forecast(window, self.levels, seed)

    @property
    def linear_map(self) -> Numbers:
        return self._linear

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        picked = chosen(ForecastChoices, choices)
        window = window_of(self.reading, self.shape, self.levels, picked)

        def foretell(block: Block, centre: Numbers, unit: Numbers) -> tuple[Exact, Exact]:
            return self.network.forecast(Window.of(block, centre, unit), self.levels)

        source = window.input(picked)
        return Running(self.origin(picked.to_json()), source, NoNetwork(), Forecasts(window, source, foretell))
