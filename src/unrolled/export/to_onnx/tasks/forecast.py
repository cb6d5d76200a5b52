"""Forecasters: a window of what was in, what comes next out; fed back segment by segment where the network is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import FLOAT, Array, Graph, Value
from unrolled.export.to_onnx.heads import Shown, shown_of
from unrolled.export.to_onnx.layer import STEP, WHOLE, layer_states
from unrolled.export.to_onnx.package import Package
from unrolled.export.to_onnx.recurrent import input_states, method, one_step, output_states, sequences
from unrolled.export.to_onnx.samples import (
    SIZES,
    answered_states,
    given_states,
    numbers,
    random_states,
    step_samples,
)
from unrolled.export.to_onnx.steps import array
from unrolled.export.to_onnx.verify import Arrays, Artifact, Sample
from unrolled.models.forecast import ForecastNetwork, Window
from unrolled.models.shapes import FLOOR
from unrolled.tasks.forecast import ForecastTask


def package(model: ForecastTask, *, int8: bool = False) -> Package:
    """model.onnx: context (B, C) -> centre and quantiles of the horizon, or of a recursive network the next segment."""
    network, shown = model.module, shown_of(model)
    after: dict[str, Any] = {
        "answer": "value * unit + centre of the line, and not below its least; of counts, quantiles are rounded",
        "counts": model.reading.counts,
        "distribution": model.distribution,
        "levels": list(model.levels),
        **shown.told,
    }
    if model.shape.recursive:
        artifacts = [_first(network, shown, int8=int8), _next(network, shown, int8=int8)]
        after["loop"] = (
            "model.onnx gives the parameters of the segment after the context; a draw of them (for a point the value) "
            "is `values` of step.onnx, in the window's own units: a value of the line is level + scale * values"
        )
    else:
        artifacts = [_direct(model, shown, int8=int8)]
    return Package(
        model.task,
        model.plan.program.name,
        artifacts,
        layer_states(network.recurrent) if model.shape.recursive else {},
        {
            "shape": asdict(model.shape),
            "reading": model.reading.to_json(),
            "context": "(value - centre) / unit of the line's last values, missing ones bridged",
            "seen": "1 where a value was known, else 0",
        },
        after,
        remarks=() if model.shape.recursive else (f"there is no {STEP}: all of the horizon is told at once",),
        int8=int8,
    )


class _Window:
    """The inputs of a window, and the values in its own units."""

    def __init__(self, g: Graph, network: ForecastNetwork, *, ahead: int) -> None:
        shape = network.shape
        self.context = g.input("context", FLOAT, ["batch", shape.context])
        self.seen = g.input("seen", FLOAT, ["batch", shape.context])
        self.past = g.input("past", FLOAT, ["batch", shape.context, shape.past]) if shape.past else None
        self.known = g.input("known", FLOAT, ["batch", shape.context + ahead, shape.known]) if shape.known else None
        self.unit: Value | None = None
        if network.head.counts:
            self.unit = g.input("line_unit", FLOAT, ["batch", 1])
            self.level = g.add("Neg", g.input("line_centre", FLOAT, ["batch", 1]) / self.unit)
            apart = g.add("Abs", self.context - self.level)
            self.scale = parts.total(apart, 1, "ReduceMean").unsqueeze(1) + 1.0 / self.unit
        else:
            count = g.add("Max", parts.total(self.seen, 1), 1.0).unsqueeze(1)
            mean = parts.total(self.context * self.seen, 1).unsqueeze(1) / count
            apart = (self.context - mean) * self.seen
            deviation = g.add("Sqrt", parts.total(apart * apart, 1).unsqueeze(1) / count)
            self.level, self.scale = self.context.cut(1, -1), deviation + FLOOR
        self.values = (self.context - self.level) / self.scale
        # What the head of counts measures a mean in.
        self.counted = self.scale if self.unit is None else self.scale * self.unit


def _direct(model: ForecastTask, shown: Shown, *, int8: bool) -> Artifact:
    network, shape = model.module, model.shape
    g = Graph("a horizon at once", int8=int8)
    window = _Window(g, network, ahead=shape.horizon)
    x = window.values
    steps = [_two(g, x, 1.0 - window.seen)]
    steps += [] if window.past is None else [window.past]
    steps += [] if window.known is None else [window.known.cut(1, 0, shape.context)]
    read = _read(g, _along(g, steps), network)
    batch = x.size(0)
    width = network.recurrent.input_size
    places = g.weight("place", array(network.place)).expand(batch, shape.ahead, width)
    if window.known is not None and network.ahead is not None:
        short = shape.ahead * shape.segment - shape.horizon
        coming = window.known.cut(1, shape.context)
        if short:
            coming = g.add("Pad", coming, g.integers(0, 0, 0, 0, short, 0), 0.0)
        coming = coming.reshape(0, shape.ahead, shape.segment * shape.known)
        places = places + parts.linear(g, coming, network.ahead, "ahead")
    whole = g.add("Concat", read, places, axis=1)
    outputs, _ = sequences(g, network.recurrent, whole, whole.size(1).expand(batch))
    before, after = outputs.cut(1, 0, -shape.ahead), outputs.cut(1, -shape.ahead)
    if network.attention is not None:
        keys = parts.linear(g, before, network.attention.key, "attention.key")
        one = before.cut(2, 0, 1).squeeze(2)
        seen, _ = parts.attention(g, after, keys, before, g.add("Equal", one, one), network.attention, "attention")
        after = g.add("Concat", after, seen, axis=2)
    size = network.head.size
    parameters = parts.linear(g, after, network.output, "output").reshape(0, shape.ahead * shape.segment, size)
    parameters = _moved(g, parameters.cut(1, 0, shape.horizon), parts.linear(g, x, network.linear, "linear"), network)
    for name, value, wide in shown.outputs(parameters, window.counted.unsqueeze(2)):
        found = value
        if name in shown.values:
            found = value * window.scale.unsqueeze(2) + window.level.unsqueeze(2)
        single = wide == 1 and name != "quantiles"
        axes: list[int | str] = ["batch", shape.horizon] if single else ["batch", shape.horizon, wide]
        g.output(name, found.squeeze(2) if single else found, FLOAT, axes)

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        window = _given(network, given)
        centre, quantiles = network.forecast(window, model.levels)
        level, scale = network.normal(window)
        raw = network.direct((window.context - level) / scale, window)
        return shown.ours(centre, quantiles, raw, scale * window.unit)

    return Artifact(WHOLE, g, _samples(network, shape.horizon), answer, method(network.recurrent))


def _first(network: ForecastNetwork, shown: Shown, *, int8: bool) -> Artifact:
    """The whole context -> parameters of the segment after it, in the window's own units, and the state."""
    shape = network.shape
    g = Graph("the segment after a context", int8=int8)
    window = _Window(g, network, ahead=shape.segment)
    x = window.values
    coming = None if window.known is None else window.known.cut(1, shape.segment, shape.context + shape.segment)
    read = _read(g, _inputs(g, x, window.seen, coming), network)
    states = input_states(g, network.recurrent, x.size(0))
    outputs, after = sequences(g, network.recurrent, read, read.size(1).expand(x.size(0)), states)
    found = _segment(g, outputs.cut(1, -1), x.cut(1, -1), network)
    g.output("parameters", shown.natural(found, window.counted.unsqueeze(2)), FLOAT,
             ["batch", shape.segment, network.head.size])  # fmt: skip
    g.output("level", window.level, FLOAT, ["batch", 1])
    g.output("scale", window.scale, FLOAT, ["batch", 1])
    output_states(g, network.recurrent, after)

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        window = _given(network, given)
        level, scale = network.normal(window)
        x = (window.context - level) / scale
        inputs = network._inputs(x, window.seen, window.known)
        outputs, state = network.recurrent(inputs, given_states(network.recurrent, given))
        raw = network._next(outputs[:, -1:], x[:, -shape.segment :])
        found = {"parameters": shown.ours_natural(raw, scale * window.unit)}
        found |= {"level": level.numpy(), "scale": scale.numpy()}
        return found | answered_states(network.recurrent, state)

    return Artifact(WHOLE, g, _samples(network, shape.segment, states=True), answer, method(network.recurrent))


def _next(network: ForecastNetwork, shown: Shown, *, int8: bool) -> Artifact:
    """A segment's values (B, w) in the window's own units -> parameters of the one after it, and the state."""
    shape = network.shape
    g = Graph("the segment after a segment", int8=int8)
    values = g.input("values", FLOAT, ["batch", shape.segment])
    coming = g.input("known", FLOAT, ["batch", shape.segment, shape.known]) if shape.known else None
    counted: Value | float = 1.0
    if network.head.counts:
        counted = g.input("scale", FLOAT, ["batch", 1]) * g.input("line_unit", FLOAT, ["batch", 1])
        counted = counted.unsqueeze(2)
    ones = g.constant(np.ones((1, 1), np.float32)).expand(values.size(0), shape.segment)
    read = _read(g, _inputs(g, values, ones, coming), network).squeeze(1)
    outputs, after = one_step(g, network.recurrent, read, input_states(g, network.recurrent, values.size(0)))
    found = _segment(g, outputs.unsqueeze(1), values.cut(1, -1), network)
    g.output("parameters", shown.natural(found, counted), FLOAT, ["batch", shape.segment, network.head.size])
    output_states(g, network.recurrent, after)

    def make(rng: np.random.Generator, rows: int) -> Arrays:
        given: dict[str, Array] = {"values": numbers(rng, rows, shape.segment)}
        if shape.known:
            given["known"] = numbers(rng, rows, shape.segment, shape.known)
        if network.head.counts:
            given |= {name: rng.uniform(1, 3, (rows, 1)).astype(np.float32) for name in ("scale", "line_unit")}
        return {**given, **random_states(rng, network.recurrent, rows)}

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        values = torch.from_numpy(given["values"])
        known = torch.from_numpy(given["known"]) if shape.known else values.new_zeros(*values.shape, 0)
        shifted = torch.cat([torch.zeros_like(known), known], 1)
        inputs = network._inputs(values, torch.ones_like(values), shifted)
        outputs, state = network.recurrent(inputs, given_states(network.recurrent, given))
        counted = torch.from_numpy(given["scale"] * given["line_unit"]) if network.head.counts else torch.ones(1, 1)
        raw = shown.ours_natural(network._next(outputs, values), counted)
        return {"parameters": raw, **answered_states(network.recurrent, state)}

    return Artifact(STEP, g, step_samples(make), answer, method(network.recurrent))


def _inputs(g: Graph, values: Value, seen: Value, coming: Value | None) -> Value:
    steps = [_two(g, values * seen, 1.0 - seen)]
    return _along(g, steps if coming is None else [*steps, coming])


def _two(g: Graph, first: Value, second: Value) -> Value:
    """Two numbers a step, (B, T, 2)."""
    return g.add("Concat", first.unsqueeze(2), second.unsqueeze(2), axis=2)


def _along(g: Graph, steps: list[Value]) -> Value:
    return steps[0] if len(steps) == 1 else g.add("Concat", *steps, axis=2)


def _read(g: Graph, steps: Value, network: ForecastNetwork) -> Value:
    """Steps (B, n * w, F) in segments (B, n, E)."""
    segments = steps.reshape(0, -1, network.read.in_features)
    return g.add("Relu", parts.linear(g, segments, network.read, "read"))


def _segment(g: Graph, outputs: Value, last: Value, network: ForecastNetwork) -> Value:
    """Parameters (B, w, size) from an output (B, 1, E), relative to the value (B, 1) before."""
    segment, size = network.shape.segment, network.head.size
    parameters = parts.linear(g, outputs, network.output, "output").reshape(0, segment, size)
    return _moved(g, parameters, last, network)


def _moved(g: Graph, parameters: Value, location: Value, network: ForecastNetwork) -> Value:
    located, size = network.head.located, network.head.size
    moved = parameters.cut(2, 0, located) + location.unsqueeze(2)
    return moved if located == size else g.add("Concat", moved, parameters.cut(2, located), axis=2)


def _samples(network: ForecastNetwork, ahead: int, *, states: bool = False) -> list[Sample]:
    rng, shape = np.random.default_rng(0), network.shape
    found = []
    for rows, _ in SIZES:
        given: dict[str, Array] = {"context": 5 + numbers(rng, rows, shape.context)}
        given["seen"] = (rng.uniform(size=(rows, shape.context)) < 0.8).astype(np.float32)
        if shape.past:
            given["past"] = numbers(rng, rows, shape.context, shape.past)
        if shape.known:
            given["known"] = numbers(rng, rows, shape.context + ahead, shape.known)
        if network.head.counts:
            given |= {
                "line_centre": np.zeros((rows, 1), np.float32),
                "line_unit": rng.uniform(1, 9, (rows, 1)).astype(np.float32),
            }
        if states:
            given |= random_states(rng, network.recurrent, rows)
        found.append(Sample(f"{rows} x {shape.context}", given))
    return found


def _given(network: ForecastNetwork, given: Mapping[str, Array]) -> Window:
    """The inputs as the network takes them."""
    shape, rows = network.shape, len(given["context"])
    zeros = np.zeros((rows, 1), np.float32)
    arrays = (
        given["context"],
        given["seen"],
        given.get("past", np.zeros((rows, shape.context, 0), np.float32)),
        given.get("known", np.zeros((rows, shape.context + shape.horizon, 0), np.float32)),
        np.zeros((rows, shape.horizon), np.float32),
        np.ones((rows, shape.horizon), np.float32),
        given.get("line_centre", zeros),
        given.get("line_unit", zeros + 1),
    )
    return Window(*map(torch.from_numpy, arrays))
