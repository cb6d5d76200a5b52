"""What stands in front of a transcriber as nodes: samples of sound, points of a pen, features -> scaled features."""

from __future__ import annotations

import numpy as np

from unrolled.data import Scaler
from unrolled.data.audio import FLOOR, RANGE, mel_bands
from unrolled.data.signals import HOP, Signal, Sound, Strokes
from unrolled.export.to_onnx import parts
from unrolled.export.to_onnx.graph import BOOL, FLOAT, Graph, Value
from unrolled.export.to_onnx.verify import Arrays, Artifact, Sample
from unrolled.tasks.transcribe import TranscribeTask

FRONT = "front.onnx"
# How many samples, points or steps the file is tried with.
_SIZES = (3, 40, 500)


def front_artifact(model: TranscribeTask) -> Artifact:
    """One clip: `samples` (N,) of sound, `points` (N, 3) of a pen or `features` (N, F) -> x (T, F)."""
    signal, scaler = model.signal, model.scaler
    g = Graph(f"features of {signal.title}")
    if isinstance(signal, Sound):
        name, given = "samples", g.input("samples", FLOAT, ["samples"])
        found, tried = _sound(g, given, signal), [size * round(0.01 * signal.rate) + 7 for size in _SIZES]
    elif isinstance(signal, Strokes):
        name, given, tried = "points", g.input("points", FLOAT, ["points", 3]), list(_SIZES)
        found = _strokes(g, given, signal)
    else:
        name, given, tried = "features", g.input("features", FLOAT, ["steps", signal.width]), list(_SIZES)
        found = given
    g.output("x", _scaled(g, found, scaler), FLOAT, ["output_steps", signal.width])
    rng = np.random.default_rng(2)
    samples = [Sample(f"{size} {name}", {name: _random(rng, signal, size)}) for size in tried]

    def answer(inputs: Arrays) -> Arrays:
        kept = inputs[name]
        features = signal.mel(kept) if isinstance(signal, Sound) else signal.features(kept)
        return {"x": scaler.transform(features)}

    return Artifact(FRONT, g, samples, answer)


def _random(rng: np.random.Generator, signal: Signal, size: int) -> np.ndarray:
    if isinstance(signal, Sound):
        time = np.arange(size) / signal.rate
        found = np.sin(2 * np.pi * 440 * time) + 0.05 * rng.standard_normal(size)
        found[: size // 2] = 0  # silence, whose level is that of the loudest step
    elif isinstance(signal, Strokes):
        walk = 100 + np.cumsum(rng.standard_normal((size, 2)), 0)
        found = np.concatenate([walk, rng.integers(0, 2, (size, 1))], 1)
        found[1, :2] = found[0, :2]  # a pen that rests has no direction
    else:
        found = rng.standard_normal((size, signal.width))
    return found.astype(np.float32)


def _scaled(g: Graph, x: Value, scaler: Scaler) -> Value:
    mean, scale = scaler.mean.astype(np.float32), scaler.scale.astype(np.float32)
    return (x - g.constant(mean, "scaler.mean")) / g.constant(scale, "scaler.scale")


def _sound(g: Graph, samples: Value, signal: Sound) -> Value:
    """`log_mel`: the Fourier transform of every window as a convolution, then the mel bands of its power."""
    window, hop, points, filters = mel_bands(signal.rate, signal.bands, hop=HOP)
    size, half = len(window), points // 2 + 1
    pads = g.integers(size // 2, size // 2 + hop)
    padded = g.add("Pad", samples, pads, 0.0).reshape(1, 1, -1)
    angles = 2 * np.pi * np.outer(np.arange(half), np.arange(size)) / points
    kernel = np.concatenate([np.cos(angles), -np.sin(angles)]) * window
    fourier = g.constant(kernel[:, None].astype(np.float32), "fourier")
    waves = g.add("Conv", padded, fourier, strides=[hop]).squeeze(0).transpose(1, 0)
    rows = g.add("Add", g.add("Div", samples.size(0), g.integers(hop)), g.integers(1))
    waves = g.add("Slice", waves, g.integers(0), rows, g.integers(0))
    real, imaginary = waves.cut(1, 0, half), waves.cut(1, half)
    power = (real * real + imaginary * imaginary) @ g.constant(filters, "mel")
    power = power / float(window.sum() ** 2)
    least: Value | float = FLOOR
    if not signal.steady:
        loudest = g.add("ReduceMax", power, keepdims=0)
        least = g.add("Max", loudest * RANGE, FLOOR)
    return g.add("Log", g.add("Max", power, least)) / float(np.log(10))


def _strokes(g: Graph, points: Value, signal: Strokes) -> Value:
    """`pen_features`."""
    first = points.cut(1, 0, 2)
    places = first - first.cut(0, 0, 1)
    begins = points.cut(1, 2)
    if signal.whole:
        places = places - _mean(g, places)
        spread = g.add("Sqrt", _mean(g, places * places))
        across, up = spread.cut(1, 0, 1), spread.cut(1, 1)
        size = _or(g, up, _or(g, across, g.constant(np.ones((1, 1), np.float32))))
        places = places / size
    before = g.add("Concat", places.cut(0, 0, 1), places.cut(0, 0, -1), axis=0)
    steps = places - before
    if not signal.shape:
        return g.add("Concat", steps, begins, axis=1)
    lengths = g.add("Sqrt", parts.total(steps * steps, 1)).unsqueeze(1)
    moving = g.add("Greater", lengths, 0.0)
    directions = parts.kept(moving, steps / g.add("Where", moving, lengths, 1.0))
    return g.add("Concat", steps, places.cut(1, 1), directions, lengths, begins, axis=1)


def _mean(g: Graph, x: Value) -> Value:
    return g.add("ReduceMean", x, g.integers(0), keepdims=1)


def _or(g: Graph, first: Value, second: Value) -> Value:
    """The first where it is not 0."""
    return g.add("Where", first.cast(BOOL), first, second)
