"""Tells a study how a trial goes, and ends the trial where the study's pruner says so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from unrolled.errors import TrainingError
from unrolled.train import Evaluation, Observer, Plan

if TYPE_CHECKING:
    import optuna

PARTS = 20


class Pruned(TrainingError):
    """Training was ended because the trial lags behind the others; its best weights are in its run folder."""


class Reporter(Observer):
    """Reports `metric` at each twentieth of the training.

    Trials differ in how many steps they take and how often they are measured, so what is compared is the share of the
    way; between two evaluations the earlier one stands. Raises Pruned out of an evaluation.
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self._total: int | None = None
        self._told = 0
        self._value: float | None = None

    def on_plan(self, plan: Plan) -> None:
        self._total = plan.total_steps

    def on_evaluate(self, evaluation: Evaluation) -> None:
        value = evaluation.metrics.get(self.metric, math.nan)
        if not self._total or not math.isfinite(value):
            return
        reached = PARTS * evaluation.step // self._total
        for part in range(self._told + 1, reached + 1):
            known = value if part == reached else self._value
            if known is not None:
                self.trial.report(known, part)
        self._told, self._value = max(self._told, reached), value
        if evaluation.step < self._total and self.trial.should_prune():
            raise Pruned(f"pruned after {100 * evaluation.step // self._total} % of its training")
