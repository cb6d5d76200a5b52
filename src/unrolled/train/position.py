"""Where a training is: all of its state that is not a tensor, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from unrolled.errors import RunError
from unrolled.train.schedule import Plan


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
        """Inverse of `to_json`; raises RunError, naming `where`, where fields are missing or unknown."""
        try:
            plan = Plan(**saved["plan"]) if saved["plan"] is not None else None
            return cls(**{**saved, "plan": plan})
        except (KeyError, TypeError) as error:
            raise RunError(f"{where} does not describe a training ({error}); start the run again elsewhere") from error


def check_resumable(started: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises RunError, naming the first choice that differs between the start of a run and its resumption."""
    for name in sorted(started.keys() | now.keys()):
        before, after = _plain(started.get(name)), _plain(now.get(name))
        if before != after:
            raise RunError(
                f"the run was started with {name}={before} and is resumed with {name}={after}; only the time, epochs, "
                "device and threads may change, so leave it as it was or start a new run"
            )


def _plain(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
