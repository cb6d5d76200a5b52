"""How good predictions are, under the names that `--json` and `metrics.jsonl` use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import ArgumentError


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of answers that are right; for several labels a row, `(N, C)` of 0 and 1, all of them must be."""
    a, b = _pair(truth, predicted)
    return float(np.mean((a == b).reshape(len(a), -1).all(axis=1)))


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), each class counting the same.

    `(N,)` of class numbers: over the classes that occur; `(N, C)` of 0 and 1: over the C columns, one that occurs
    nowhere counting 0.
    """
    a, b = _pair(truth, predicted)
    if a.ndim == 1:
        classes = np.union1d(a, b)
        a, b = a[:, None] == classes, b[:, None] == classes
    hits = np.sum((a != 0) & (b != 0), axis=0)
    total = np.sum(a != 0, axis=0) + np.sum(b != 0, axis=0)
    return float(np.mean(np.divide(2.0 * hits, total, out=np.zeros(len(total)), where=total > 0)))


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts `(C, C)`, row the true class, column the predicted one; classes are 0 ... C - 1."""
    a, b = _pair(truth, predicted)
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    if a.ndim != 1 or low < 0 or high >= classes:
        raise ArgumentError(f"class numbers from {low} to {high} in shape {a.shape}; give (N,) from 0 to {classes - 1}")
    cells = a.astype(np.int64) * classes + b.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def perplexity(loss: float) -> float:
    """exp(loss), the loss in nats a token; infinity where that is too large for a float."""
    return math.exp(loss) if loss < 709.0 else math.inf


def bits_per_character(loss: float, tokens: int = 1, characters: int = 1) -> float:
    """Bits = loss / ln 2 * tokens / characters, the loss in nats a token, of which `tokens` make up `characters`."""
    if characters < 1:
        raise ArgumentError(f"{characters} characters cannot share bits; give the number of characters, at least 1")
    return loss / math.log(2.0) * tokens / characters


def mse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean squared error over all entries."""
    a, b = _numbers(truth, predicted)
    return float(np.mean((a - b) ** 2))


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error over all entries."""
    a, b = _numbers(truth, predicted)
    return float(np.mean(np.abs(a - b)))


def _pair(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    a, b = np.asarray(truth), np.asarray(predicted)
    if a.shape != b.shape or a.size == 0:
        raise ArgumentError(
            f"truth has shape {a.shape} and prediction {b.shape}; give two of one shape with at least one entry"
        )
    return a, b


def _numbers(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = _pair(truth, predicted)
    return a.astype(np.float64), b.astype(np.float64)
