"""What stands around recurrent layers, in NumPy: the evaluation of the modules in `layers` and `models`."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError
from unrolled.runtime.weights import Array, Weights

Ids = npt.NDArray[np.int64]
_EPSILON = 1e-5


class Linear:
    """y = W x + b: (..., F) -> (..., O)."""

    def __init__(self, inputs: int, outputs: int, weights: Weights, *, bias: bool = True) -> None:
        self.weight = weights.take("weight", outputs, inputs)
        self.bias = weights.take("bias", outputs) if bias else None

    @classmethod
    def tied(cls, weight: Array, weights: Weights) -> Self:
        """With a matrix that is an embedding too, of which a run keeps one copy."""
        found = cls.__new__(cls)
        found.weight, found.bias = weight, weights.take("bias", len(weight))
        return found

    def __call__(self, x: Array) -> Array:
        # As a matrix times a vector a single row needs a third of the time.
        found = self.weight.dot(x) if x.ndim == 1 else x @ self.weight.T
        if self.bias is not None:
            found += self.bias
        return found


class LayerNorm:
    """(x - mean) / sqrt(variance + 1e-5) over the features, then gain and offset."""

    def __init__(self, width: int, weights: Weights) -> None:
        self.weight = weights.take("weight", width)
        self.bias = weights.take("bias", width)

    def __call__(self, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        found: Array = centred / np.sqrt(variance + np.float32(_EPSILON)) * self.weight + self.bias
        return found


class Embedding:
    """A vector (E) for each id, and with `positions` one for each place, the last for all places after it."""

    def __init__(self, units: int, width: int, weights: Weights, positions: int | None = None) -> None:
        self.weight = weights.take("weight", units, width)
        self.positions = None if positions is None else weights.take("positions", positions, width)

    def __call__(self, ids: Ids, before: int = 0) -> Array:
        """Ids (...) -> (..., E); those of a row begin at its place `before`."""
        check_ids(ids, len(self.weight))
        found = self.weight[ids]
        if self.positions is None:
            return found
        places = np.minimum(before + np.arange(ids.shape[1]), len(self.positions) - 1)
        return found + self.positions[places]


class Pooling:
    """One vector for each sequence of outputs (B, T, F), over its true length only; see `layers.Pooling`."""

    def __init__(self, kind: str, size: int, weights: Weights, *, bidirectional: bool) -> None:
        if kind not in ("last", "mean", "max", "attention"):
            raise ArgumentError(f"pooling {kind!r} is not known")
        self.kind, self.size, self.bidirectional = kind, size, bidirectional
        if kind == "attention":
            self.hidden = Linear(size, size, weights.under("hidden"))
            self.score = weights.take("score", size)

    def __call__(self, outputs: Array, lengths: Ids) -> Array:
        if not outputs.shape[1]:
            return np.zeros((len(outputs), self.size), np.float32)
        if self.kind == "last":
            return self._last(outputs, lengths)
        mask = valid(lengths, outputs.shape[1])[..., None]
        if self.kind == "mean":
            mean: Array = np.where(mask, outputs, 0).sum(1) / np.maximum(lengths, 1)[:, None].astype(np.float32)
            return mean
        if self.kind == "max":
            return np.where(lengths[:, None] > 0, np.where(mask, outputs, -np.inf).max(1), 0).astype(np.float32)
        kept = np.where(mask, outputs, 0)
        scores = masked(self.scores(kept), mask[..., 0])
        found: Array = np.einsum("bt,btf->bf", scores, kept)
        return found

    def scores(self, outputs: Array) -> Array:
        """How much each of the outputs (..., F) counts before the softmax, where the kind is `attention`."""
        found: Array = np.tanh(self.hidden(outputs)) @ self.score
        return found

    def _last(self, outputs: Array, lengths: Ids) -> Array:
        last = outputs[np.arange(len(outputs)), np.maximum(lengths - 1, 0)]
        if self.bidirectional:
            half = self.size // 2
            last = np.concatenate((last[:, :half], outputs[:, 0, half:]), 1)
        return np.where(lengths[:, None] > 0, last, 0).astype(np.float32)


class Memory(tuple[Array, Array, npt.NDArray[np.bool_]]):
    """What is looked at: keys (B, S, K), values (B, S, M), and which places are real (B, S)."""

    def take(self, rows: Ids) -> Memory:
        """The rows (N,) of it, in that order and as often as they are named."""
        return Memory(part[rows] for part in self)


class Attention:
    """Weights over the places of a memory, and the mean of its values under them; see `layers.Attention`."""

    def __init__(self, kind: str, query_size: int, memory_size: int, weights: Weights, *, scaled: bool = True) -> None:
        if kind not in ("additive", "multiplicative"):
            raise ArgumentError(f"attention {kind!r} is not known")
        self.kind, self.divisor = kind, math.sqrt(query_size) if scaled else 1.0
        self.key = Linear(memory_size, query_size, weights.under("key"), bias=False)
        if kind == "additive":
            self.query = Linear(query_size, query_size, weights.under("query"))
            self.score = weights.take("score", query_size)

    def memory(self, values: Array, lengths: Ids | None = None) -> Memory:
        """Values (B, S, M) with their keys, computed once for all queries."""
        rows, places = values.shape[:2]
        mask = valid(np.full(rows, places) if lengths is None else lengths, places)
        values = np.where(mask[..., None], values, np.float32(0))
        return Memory((self.key(values), values, mask))

    def __call__(self, queries: Array, memory: Memory) -> tuple[Array, Array]:
        """Queries (B, T, Q) -> contexts (B, T, M), weights (B, T, S)."""
        keys, values, mask = memory
        if self.kind == "multiplicative":
            scores = queries @ keys.transpose(0, 2, 1) / np.float32(self.divisor)
        else:
            scores = np.tanh(self.query(queries)[:, :, None] + keys[:, None]) @ self.score
        weights = masked(scores, np.broadcast_to(mask[:, None], scores.shape))
        return weights @ values, weights


def valid(lengths: Ids, steps: int) -> npt.NDArray[np.bool_]:
    """True where a step lies within its row's length, (B, T)."""
    found: npt.NDArray[np.bool_] = np.arange(steps) < lengths[:, None]
    return found


def masked(scores: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Softmax over the last axis, where the mask is true; all 0 where it is nowhere."""
    scores = np.where(mask, scores, -np.inf)
    largest = scores.max(-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = powers.sum(-1, keepdims=True)
    found: Array = (powers / np.where(total > 0, total, 1)).astype(np.float32)
    return found


def log_softmax(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Log p over the last axis, in the type of the scores."""
    centred = scores - scores.max(-1, keepdims=True)
    found: npt.NDArray[Any] = centred - np.log(np.exp(centred).sum(-1, keepdims=True))
    return found


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def check_ids(ids: Ids, size: int) -> None:
    """ArgumentError unless ids are whole numbers from 0 to size - 1."""
    low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
    if low < 0 or high >= size:
        raise ArgumentError(
            f"ids go from {low} to {high}, but the vocabulary has {size} entries; "
            "encode the data with the vocabulary that the model was built for."
        )
