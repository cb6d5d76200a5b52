"""What the training loop asks of a task: an objective to lower and a source of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from unrolled.train.tree import Carry


class LossOutput(NamedTuple):
    """The loss of one batch: its mean over `weight` targets, and the recurrent state to carry on (or None)."""

    loss: Tensor
    weight: int
    carry: Carry = None


class Objective(Protocol):
    """A module, how wrong it is on one batch, and how good it is on the validation part.

    All randomness of `loss` must come from torch's own generators, whose state is saved with every checkpoint.
    """

    @property
    def module(self) -> nn.Module:
        """The network whose parameters are trained; the trainer switches it between training and evaluation."""
        ...

    def loss(self, batch: Any, carry: Carry) -> LossOutput:
        """Loss of one batch; `carry` is None at the start of an epoch, then what the last call returned, detached."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Metrics on the validation part, called without gradients; empty where nothing is held out."""
        ...


class BatchSource(Protocol):
    """Batches as a pure function of the epoch's number, so that (epoch, index) is a position to come back to."""

    def __len__(self) -> int:
        """Batches in one epoch."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """The batches of one epoch, from the `start`-th on."""
        ...
