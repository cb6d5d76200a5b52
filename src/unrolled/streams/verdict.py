"""One answer a sequence, said after each part: the class probabilities or the numbers of what was read so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unrolled.data.arrays import Exact, Numbers
from unrolled.decode.sampling import softmax
from unrolled.streams.pooling import Pool
from unrolled.streams.protocol import Answer
from unrolled.streams.saved import Kept

Head = Callable[[Numbers], Exact]
"""The network's answer (K,) for a pooled vector (E,)."""


class Verdict:
    """Pools the outputs as they come and asks the head after each part; what it says is made of its answer (K,)."""

    def __init__(self, pool: Pool, head: Head, said: Callable[[Exact], Answer]) -> None:
        self.pool = pool
        self.head = head
        self.said = said

    def take(self, steps: Any, outputs: Numbers) -> None:
        self.pool.take(outputs)

    def answer(self, *, final: bool) -> Answer:
        return self.said(self.head(self.pool.vector))

    def save(self) -> Kept:
        return self.pool.save()

    def load(self, kept: Kept) -> None:
        self.pool.load(kept)


def label_of(classes: Sequence[Any]) -> Callable[[Exact], Answer]:
    """The likeliest class and p of each: softmax."""
    names = [str(name) for name in classes]

    def said(logits: Exact) -> Answer:
        return {
            "label": classes[int(logits.argmax())],
            "probabilities": dict(zip(names, softmax(logits).tolist(), strict=True)),
        }

    return said


def labels_of(classes: Sequence[Any]) -> Callable[[Exact], Answer]:
    """Every class that is likelier than not, and p of each: sigmoid."""
    names = [str(name) for name in classes]

    def said(logits: Exact) -> Answer:
        with np.errstate(over="ignore"):
            p = 1 / (1 + np.exp(-logits))
        likely = [name for name, logit in zip(classes, logits, strict=True) if logit > 0]
        return {"labels": likely, "probabilities": dict(zip(names, p.tolist(), strict=True))}

    return said


def numbers_of(names: Sequence[str], scale: Exact, mean: Exact) -> Callable[[Exact], Answer]:
    """The numbers in their own units, by name."""

    def said(outputs: Exact) -> Answer:
        return {"values": dict(zip(names, (outputs * scale + mean).tolist(), strict=True))}

    return said
