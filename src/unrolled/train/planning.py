"""From a limit in seconds to a number of steps, by measuring the first of them."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from unrolled.train.schedule import Plan
from unrolled.train.settings import UNPLANNED_WARMUP, TrainSettings

_MEASURED = 0.05
_LONGEST_MEASUREMENT = 30.0
_FEWEST_STEPS = 5
_GIVE_UP = 0.2
_EVALUATION_SHARE = 0.1
_EVALUATIONS = 20
_FAR = 3.0


def fixed_plan(settings: TrainSettings, epoch_length: int) -> Plan:
    """The plan of a run whose length does not depend on the clock."""
    total = _most_steps(settings, epoch_length)
    return Plan(
        total_steps=total,
        warmup=round(settings.warmup * total) if settings.warmup < 1 else round(settings.warmup),
        decay_from=0,
        evaluate_every=settings.evaluate_every or epoch_length,
        max_time=settings.max_time,
        epochs=settings.epochs,
    )


def unplanned_warmup(settings: TrainSettings) -> int:
    """Warm-up in steps while the total is not known yet."""
    return UNPLANNED_WARMUP if 0 < settings.warmup < 1 else round(settings.warmup)


class Stopwatch:
    """Step times of the first part of a run under `max_time` (seconds)."""

    def __init__(self, max_time: float) -> None:
        self.max_time = max_time
        self.steps: list[float] = []

    def add(self, seconds: float) -> None:
        """One more step."""
        self.steps.append(seconds)

    @property
    def ready(self) -> bool:
        """Whether enough was measured: a twentieth of the time, at most half a minute, and a few steps of it."""
        spent = sum(self.steps)
        wanted = min(_MEASURED * self.max_time, _LONGEST_MEASUREMENT)
        return spent >= _GIVE_UP * self.max_time or (spent >= wanted and len(self.steps) >= _FEWEST_STEPS)

    @property
    def step_seconds(self) -> float:
        """Mean of the later half without what compilation, cold caches or a busy moment made far longer."""
        later = self.steps[len(self.steps) // 2 :]
        usual = [s for s in later if s <= _FAR * statistics.median(later)]
        return max(sum(usual) / len(usual), 1e-9)


def timed_plan(
    settings: TrainSettings,
    epoch_length: int,
    *,
    step: int,
    elapsed: float,
    step_seconds: float,
    evaluation: float,
    before: Plan | None = None,
) -> Plan:
    """The plan that ends, last evaluation included, so much before `max_time` that one more can be made afterwards.

    `elapsed` seconds are gone after `step` steps; a step takes `step_seconds`, an evaluation `evaluation` seconds.
    A run that is made longer (`before`: its old plan) keeps its warm-up and goes back up on the longer decay.
    """
    limit = settings.max_time or 0.0
    left = max(0.0, limit - elapsed - min(0.1 * limit, 0.03 * limit + 0.2) - evaluation)
    most = _most_steps(settings, epoch_length)
    if settings.evaluate_every is not None:
        every = settings.evaluate_every
        more = max(0.0, left - evaluation) / (step_seconds + evaluation / every)
    else:
        reach = min(left / step_seconds, most - step)
        wanted = max(_EVALUATIONS, reach / epoch_length)
        count = max(1, min(int(wanted), int(_EVALUATION_SHARE * left / max(evaluation, 1e-9))))
        more = max(0.0, left - count * evaluation) / step_seconds
        every = max(1, math.ceil(min(more, most - step) / count))
    total = int(max(step, min(most, step + more)))
    if before is not None:
        return replace(before, total_steps=total, evaluate_every=every, max_time=limit, epochs=settings.epochs)
    # A warm-up longer than a short run would keep it from ever reaching its learning rate.
    share = settings.warmup if settings.warmup < 1 else 0.1
    warmup = min(unplanned_warmup(settings), max(2 * step, round(share * total)))
    return Plan(total, warmup, step, every, settings.max_time, settings.epochs)


def _most_steps(settings: TrainSettings, epoch_length: int) -> int:
    by_epochs = settings.epochs * epoch_length if settings.epochs is not None else None
    return min(steps for steps in (settings.total_steps, by_epochs, 2**62) if steps is not None)
