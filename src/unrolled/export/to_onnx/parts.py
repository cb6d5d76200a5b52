"""Parts of networks beside the recurrent layers as nodes: embeddings, linear maps, convolutions, pooling, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unrolled.export.to_onnx.graph import FLOAT, Graph, Value
from unrolled.export.to_onnx.steps import array, count
from unrolled.layers import AdaptiveOutput, Attention, Pooling
from unrolled.models import Embedding, ImageEncoder
from unrolled.models.front import Convolutions

_LEAST = -1e30


def linear(g: Graph, x: Value, layer: Any, name: str, *, tied: str | None = None) -> Value:
    """W x + b of an `nn.Linear` over the last axis; `tied` names a matrix (V, E) that is in the file already."""
    W = array(layer.weight)
    matrix = g.weight(f"{name}.weight", W, W.shape, (1, 0)) if tied is None else g.weight(tied, W).transpose(1, 0)
    found = x @ matrix
    return found if layer.bias is None else found + g.constant(array(layer.bias), f"{name}.bias")


def log_softmax(x: Value) -> Value:
    """Over the last axis."""
    return x.graph.add("LogSoftmax", x, axis=-1)


def softmax(x: Value, axis: int = -1) -> Value:
    """Over an axis."""
    return x.graph.add("Softmax", x, axis=axis)


def inside(lengths: Value, steps: Value) -> Value:
    """Where a step lies within its row's length, (B, T) bool; `steps` is (1,)."""
    return lengths.graph.add("Less", count(steps), lengths.unsqueeze(1))


def kept(mask: Value, x: Value, otherwise: float = 0.0) -> Value:
    """The numbers of x where the mask is true."""
    return x.graph.add("Where", mask, x, otherwise)


def total(x: Value, axis: int, kind: str = "ReduceSum") -> Value:
    """The sum over an axis, or another reduction of it."""
    g = x.graph
    return g.add(kind, x, g.integers(axis), keepdims=0)


def embedding(g: Graph, ids: Value, layer: Embedding, name: str, place: Value | None = None) -> Value:
    """Vectors of ids (B, T), or of one step, (B,), at `place` (B,) of its sequence."""
    found = g.add("Gather", g.weight(f"{name}.weight", array(layer.weight)), ids, axis=0)
    if layer.positions is None:
        return found
    last = g.integers(len(layer.positions) - 1)
    places = g.add("Min", count(ids.size(1)) if place is None else place, last)
    return found + g.add("Gather", g.weight(f"{name}.positions", array(layer.positions)), places, axis=0)


def output(g: Graph, features: Value, layer: Any, name: str, *, tied: str | None = None) -> Value:
    """Scores (..., V) of an output layer; those of an adaptive one are log-probabilities."""
    if not isinstance(layer, AdaptiveOutput):
        return linear(g, features, layer, name, tied=tied)
    clusters: Any = layer.clusters
    head = log_softmax(linear(g, features, clusters.head, f"{name}.head"))
    frequent = clusters.shortlist_size
    parts = [head.cut(-1, 0, frequent)]
    for i, tail in enumerate(clusters.tail):
        squeezed = linear(g, features, tail[0], f"{name}.tail.{i}.0")
        scores = log_softmax(linear(g, squeezed, tail[1], f"{name}.tail.{i}.1"))
        parts.append(scores + head.cut(-1, frequent + i, frequent + i + 1))
    return g.add("Concat", *parts, axis=-1)


def convolutions(g: Graph, x: Value, lengths: Value, front: Convolutions, name: str) -> tuple[Value, Value]:
    """`Convolutions`: x (B, T, F), lengths -> (B, T', C), lengths."""
    x = kept(inside(lengths, x.size(1)).unsqueeze(2), x)
    layers: Any = zip(front.convolutions, front.norms, strict=True)
    for i, (layer, norm) in enumerate(layers):
        lengths = fewer(lengths, front.stride)
        kernel = layer.kernel_size[0]
        pads = [kernel // 2] * 2
        W = g.weight(f"{name}.{i}.weight", *_rows(array(layer.weight)))
        found = g.add("Conv", x.transpose(0, 2, 1), W, strides=[front.stride], pads=pads).transpose(0, 2, 1)
        factor = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
        shift = array(norm.bias) - array(norm.running_mean) * factor
        found = found * g.constant(factor, f"{name}.{i}.scale") + g.constant(shift, f"{name}.{i}.shift")
        mask = inside(lengths, found.size(1)).unsqueeze(2)
        x = kept(mask, g.add("Relu", found))
    return x, lengths


def fewer(lengths: Value, factor: int) -> Value:
    """How many groups of `factor` steps there are, the last one perhaps not full."""
    if factor == 1:
        return lengths
    g = lengths.graph
    return g.add("Div", g.add("Add", lengths, g.integers(factor - 1)), g.integers(factor))


def _rows(weight: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """A convolution's weights as a matrix with a row a channel, and their shape."""
    return weight.reshape(len(weight), -1), weight.shape


def pooling(g: Graph, outputs: Value, lengths: Value, layer: Pooling, name: str) -> Value:
    """`Pooling`: outputs (B, T, F), lengths (B,) -> (B, F)."""
    mask = inside(lengths, outputs.size(1))
    some = g.add("Greater", lengths, g.integers(0)).unsqueeze(1)
    if layer.kind == "last":
        place = g.add("Max", g.add("Sub", lengths, g.integers(1)), g.integers(0))
        last = g.add("GatherND", outputs, place.unsqueeze(1), batch_dims=1)
        if layer.bidirectional:
            half = layer.size // 2
            first = outputs.cut(1, 0, 1).squeeze(1)
            last = g.add("Concat", last.cut(1, 0, half), first.cut(1, half), axis=1)
        return kept(some, last)
    steps = kept(mask.unsqueeze(2), outputs)
    if layer.kind == "mean":
        return total(steps, 1) / g.add("Max", lengths, g.integers(1)).cast(FLOAT).unsqueeze(1)
    if layer.kind == "max":
        return kept(some, total(kept(mask.unsqueeze(2), outputs, _LEAST), 1, "ReduceMax"))
    weights = kept(mask, softmax(kept(mask, attention_scores(g, steps, layer, name), _LEAST), 1))
    return total(steps * weights.unsqueeze(2), 1)


def attention_scores(g: Graph, steps: Value, layer: Pooling, name: str) -> Value:
    """V . tanh(A h + d) of steps (..., F): (...)."""
    hidden = g.add("Tanh", linear(g, steps, layer.hidden, f"{name}.hidden"))
    return (hidden @ g.constant(array(layer.score)[:, None], f"{name}.score")).squeeze(-1)


def attention(
    g: Graph, queries: Value, keys: Value, values: Value, mask: Value, layer: Attention, name: str
) -> tuple[Value, Value]:
    """`Attention`: queries (B, T, Q), keys (B, S, K), values (B, S, M), mask (B, S) -> (B, T, M), (B, T, S)."""
    if layer.kind == "multiplicative":
        scores = queries @ keys.transpose(0, 2, 1)
        scores = scores / math.sqrt(layer.query_size) if layer.scaled else scores
    else:
        hidden = g.add("Tanh", linear(g, queries, layer.query, f"{name}.query").unsqueeze(2) + keys.unsqueeze(1))
        scores = (hidden @ g.constant(array(layer.score)[:, None], f"{name}.score")).squeeze(-1)
    wide = mask.unsqueeze(1)
    weights = kept(wide, softmax(kept(wide, scores, _LEAST)))
    return weights @ values, weights


def regions(g: Graph, images: Value, encoder: ImageEncoder, name: str) -> Value:
    """`ImageEncoder`: pictures (B, 3, H, W) in [0, 1] -> (B, R, C)."""
    x = images * 2.0 - 1.0
    stages: Any = encoder.stages
    for i, stage in enumerate(stages):
        x = _convolution(g, x, stage.halve, f"{name}.stages.{i}.halve")
        for k, block in enumerate(stage.blocks):
            x = x + _convolution(g, x, block, f"{name}.stages.{i}.blocks.{k}")
    if encoder.around > 1:
        x = g.add("MaxPool", x, kernel_shape=[encoder.around] * 2, pads=[encoder.around // 2] * 4)
    placed = _conv2d(g, g.add("Concat", x, _coordinates(g, x), axis=1), encoder.place, f"{name}.place")
    return placed.reshape(0, encoder.output_size, -1).transpose(0, 2, 1)


def _convolution(g: Graph, x: Value, block: Any, name: str) -> Value:
    convolution, norm, _ = block
    found = _conv2d(g, x, convolution, f"{name}.0")
    groups, channels = norm.num_groups, norm.num_channels
    # Each group of channels is brought to mean 0 and deviation 1, which is what an instance norm does with a channel.
    flat = found.reshape(0, groups, -1)
    ones, zeros = g.constant(np.ones(groups, np.float32)), g.constant(np.zeros(groups, np.float32))
    flat = g.add("InstanceNormalization", flat, ones, zeros, epsilon=float(norm.eps))
    shape = g.add("Shape", found)
    scale, bias = (
        g.constant(array(part).reshape(1, channels, 1, 1), f"{name}.1.{part_name}")
        for part, part_name in ((norm.weight, "weight"), (norm.bias, "bias"))
    )
    return g.add("Relu", g.add("Reshape", flat, shape) * scale + bias)


def _conv2d(g: Graph, x: Value, layer: Any, name: str) -> Value:
    W = g.weight(f"{name}.weight", *_rows(array(layer.weight)))
    bias = None if layer.bias is None else g.constant(array(layer.bias), f"{name}.bias")
    return g.add("Conv", x, W, bias, strides=list(layer.stride), pads=[*layer.padding, *layer.padding])


def _coordinates(g: Graph, x: Value) -> Value:
    """Vertical and horizontal place of each region, (B, 2, h, w)."""
    batch, height, width = x.size(0), x.size(2), x.size(3)
    one = g.integers(1)
    sides = []
    for size, shape in ((height, (1, 1, -1, 1)), (width, (1, 1, 1, -1))):
        places = (count(size).cast(FLOAT) * 2.0 + 1.0) / size.cast(FLOAT) - 1.0
        sides.append(places.reshape(*shape).expand(batch, one, height, width))
    return g.add("Concat", *sides, axis=1)
