"""Where a training is: all of its state that is not a tensor, as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from unrolled.data.problems import quoted
from unrolled.errors import RunError
from unrolled.train.schedule import Plan

_LONGEST = 60


@dataclass
class Position:
    """Steps taken, the next batch as (epoch, index), seconds spent, the best evaluation, and whether it has ended."""

    step: int = 0
    epoch: int = 0
    index: int = 0
    seconds: float = 0.0
    plan: Plan | None = None
    best_step: int | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    """Evaluations since the best one."""
    evaluated_at: int | None = None
    stopped: str | None = None
    bad_steps: int = 0
    """Steps passed over because their loss or gradient was not finite."""
    bad_in_a_row: int = 0

    def to_json(self) -> dict[str, Any]:
        """All fields, the plan as an object."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], where: str) -> Position:
        """Inverse of `to_json`; raises RunError, naming `where`, where fields are missing, unknown or damaged."""
        try:
            plan = Plan(**saved["plan"]) if saved["plan"] is not None else None
            found = cls(**{**saved, "plan": plan})
            strange = [name for name, good in _right(found) if not good]
            if strange:
                raise TypeError(f"{strange[0]} is {quoted(saved[strange[0]])}")
        except (KeyError, TypeError) as error:
            raise RunError(f"{where} does not describe a training ({error}); start the run again elsewhere") from error
        return found


def _right(found: Position) -> Iterator[tuple[str, bool]]:
    """The name of each field, and whether it holds what it may."""
    plan = found.plan
    for name in ("step", "epoch", "index", "stale", "bad_steps", "bad_in_a_row"):
        yield name, _is_count(getattr(found, name))
    for name in ("best_step", "evaluated_at"):
        yield name, getattr(found, name) is None or _is_count(getattr(found, name))
    yield "seconds", _is_number(found.seconds) and 0 <= found.seconds < math.inf
    metrics: object = found.best_metrics
    yield "best_metrics", isinstance(metrics, dict) and all(map(_is_number, metrics.values()))
    yield "stopped", found.stopped is None or isinstance(found.stopped, str)
    if plan is not None:
        counts = (plan.total_steps, plan.warmup, plan.decay_from, plan.evaluate_every, plan.epochs or 0)
        ends = plan.max_time is None or _is_number(plan.max_time)
        yield "plan", ends and all(map(_is_count, counts)) and plan.evaluate_every > 0


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= 2**62


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def check_resumable(started: object, now: Mapping[str, Any]) -> None:
    """Raises RunError, naming the first choice that differs between the start of a run and its resumption."""
    if not isinstance(started, Mapping):
        raise RunError("the checkpoint does not say how the run was started; start the run again in another folder")
    for name in sorted(started.keys() | now.keys()):
        before, after = _plain(started.get(name)), _plain(now.get(name))
        if before != after:
            raise RunError(
                f"the run was started with {_shown(name)}={_shown(before)} and is resumed with "
                f"{_shown(name)}={_shown(after)}; only the time, epochs, device and threads may change, so leave it as "
                "it was or start a new run"
            )


def _shown(value: object) -> str:
    """As a person wrote it, where that can be shown."""
    text = str(value)
    return text if text.isprintable() and len(text) < _LONGEST else quoted(value)


def _plain(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
