"""How far a run goes and its learning rate at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unrolled.train.settings import Decay


@dataclass(frozen=True)
class Plan:
    """The length of a run, fixed once, with what it was made from (`max_time`, `epochs`).

    From `decay_from` on (the step at which the total became known, if that is past the warm-up) the rate decays.
    """

    total_steps: int
    warmup: int
    decay_from: int
    evaluate_every: int
    max_time: float | None
    epochs: int | None


def warmup_scale(step: int, warmup: int) -> float:
    """min(1, (step + 1) / warmup): linear, never zero, whatever the total is."""
    return min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0


def decay_scale(step: int, start: int, total: int, decay: Decay, final_fraction: float) -> float:
    """1 up to `start`, `final_fraction` from step `total` - 1 on, between them on a half cosine or a line."""
    if decay == "constant":
        return 1.0
    passed = min(1.0, max(0.0, (step - start) / max(1, total - 1 - start)))
    left = 0.5 * (1.0 + math.cos(math.pi * passed)) if decay == "cosine" else 1.0 - passed
    return final_fraction + (1.0 - final_fraction) * left


def rate_scale(step: int, plan: Plan | None, warmup: int, decay: Decay, final_fraction: float) -> float:
    """The learning rate of `step` (from 0) as a part of the highest; before the plan is made, warm-up alone."""
    if plan is None:
        return warmup_scale(step, warmup)
    if step < plan.warmup:
        return warmup_scale(step, plan.warmup)
    return decay_scale(step, max(plan.warmup, plan.decay_from), plan.total_steps, decay, final_fraction)
