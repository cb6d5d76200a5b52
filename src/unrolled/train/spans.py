"""How good labels at every step are: class by class, and by spans (BIO)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from unrolled.errors import ArgumentError

_SPAN = re.compile(r"[BIESLUM]-.+")


def is_span_label(names: Iterable[object]) -> bool:
    """Whether these labels mark spans: "O" and at least one such as "B-PER", and nothing else."""
    others = [name for name in names if name != "O"]
    return bool(others) and all(isinstance(name, str) and _SPAN.fullmatch(name) for name in others)


def spans(labels: Sequence[str]) -> set[tuple[str, int, int]]:
    """(kind, first step, step after the last) of each span, by the rules of conlleval (Tjong Kim Sang 2000).

    A span begins at B, S or U, or where another kind begins or nothing went before; it ends after E, L, S or U.
    """
    found = set()
    open_kind, first, before = "", 0, "O"
    for place, label in enumerate([*labels, "O"]):
        mark, _, kind = label.partition("-")
        if open_kind and (mark in "OBSU" or kind != open_kind or before in "ELSU"):
            found.add((open_kind, first, place))
            open_kind = ""
        if not open_kind and mark != "O":
            open_kind, first = kind, place
        before = mark
    return found


def span_f1(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """F1 = 2 TP / (2 TP + FP + FN) over spans, right where kind and both ends are; 1 where nobody marks any."""
    if [len(row) for row in truth] != [len(row) for row in predicted]:
        raise ArgumentError("truth and prediction differ in their lengths; give a label for each step of each sequence")
    right = total = 0
    for a, b in zip(truth, predicted, strict=True):
        true, answered = spans(a), spans(b)
        right += len(true & answered)
        total += len(true) + len(answered)
    return 2 * right / total if total else 1.0


def per_class(truth: ArrayLike, predicted: ArrayLike, classes: int) -> list[dict[str, Any]]:
    """Precision = TP / (TP + FP), recall = TP / (TP + FN), f1 and count (TP + FN) of each class 0 ... C - 1.

    A step whose true class is no such number counts as an error of the class that was answered.
    """
    a, b = np.asarray(truth), np.asarray(predicted)
    found = []
    for k in range(classes):
        hits, answered, true = int(((a == k) & (b == k)).sum()), int((b == k).sum()), int((a == k).sum())
        found.append(
            {
                "precision": hits / answered if answered else 0.0,
                "recall": hits / true if true else 0.0,
                "f1": 2 * hits / (answered + true) if answered + true else 0.0,
                "count": true,
            }
        )
    return found
