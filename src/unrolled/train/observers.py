"""What can be watched while a network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from unrolled.train.schedule import Plan

Stopped = Literal["finished", "patience", "max_time", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Start:
    """The state of things before the first step of this process; `step` is above zero for a resumed run."""

    module: nn.Module
    step: int
    seconds: float
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was taken; gradients are still in the module, clipped, and `batch` is what the step saw."""

    step: int
    """Steps taken, this one counted."""
    epoch: int
    loss: float
    weight: int
    """Targets in the batch."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    seconds: float
    """Since training began, earlier processes counted."""
    batch: Any


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics on the validation part after `step` steps; `best` is whether they are the best so far."""

    step: int
    epoch: int
    metrics: dict[str, float]
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How training ended. The module holds the weights of `best_step` where there were evaluations, else the last."""

    stopped: Stopped
    step: int
    total_steps: int | None
    seconds: float
    best_step: int | None
    metrics: dict[str, float]
    """At `best_step`."""
    resumed_from: int | None = None
    """The step at which this process took over; equal to `step` where nothing was left to do."""
    bad_steps: int = 0
    """Steps that were passed over because their loss or gradient was not finite."""


class Observer:
    """Does nothing; subclasses override what they want to hear of. Called in the training thread, so be quick."""

    def on_start(self, start: Start) -> None:
        """Before the first step."""

    def on_plan(self, plan: Plan) -> None:
        """When the number of steps is fixed: at once, or under a time limit after the first seconds."""

    def on_step(self, step: Step) -> None:
        """After each step."""

    def on_evaluate(self, evaluation: Evaluation) -> None:
        """After each evaluation."""

    def on_remark(self, remark: str) -> None:
        """When something happened that a person should know of: a step passed over, a damaged checkpoint."""

    def on_end(self, result: TrainResult) -> None:
        """When training ends, in whatever way."""
