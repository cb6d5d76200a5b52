"""What the benchmarks that make their batches as they go share: the batches, and the course of the measured value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from unrolled.train import Evaluation, Observer

EPOCH = 100

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FreshBatches:
    """A new batch at every step: `make(random numbers, step)`, the numbers drawn from (seed, epoch, place)."""

    make: Callable[[np.random.Generator, int], Batch]
    seed: int

    def __len__(self) -> int:
        return EPOCH

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from the `start`-th on."""
        for place in range(start, EPOCH):
            yield self.make(np.random.default_rng((self.seed, number, place)), number * EPOCH + place)


class Course(Observer):
    """Step and value of every evaluation."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.points: list[tuple[float, float]] = []

    def on_evaluate(self, evaluation: Evaluation) -> None:
        """Keep one."""
        self.points.append((evaluation.step, evaluation.metrics[self.metric]))
