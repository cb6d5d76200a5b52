"""The options of a search beside those of its task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from unrolled.errors import ArgumentError
from unrolled.tasks.options import Common, option

PRUNERS = ("median", "hyperband", "none")


@dataclass(kw_only=True)
class TuneCommon(Common):
    """`Common` for a search: the same fields speak of the whole of it, and some are added. Raises ArgumentError."""

    out: Path | None = option(None, "study folder, written or joined; default: the next free runs/tune-TASK-NNN")
    seed: int = option(0, "seed of the choices, and of the starting weights and the order of the data in every trial")
    max_time: float | None = option(
        None, "time limit of this process; without --trial-time or --epochs shared out among the trials", unit="seconds"
    )
    epochs: int | None = option(None, "passes over the training part in each trial; default: the task's own number")
    resume: bool = option(False, "go on with the study in --out with the options that it was started with")
    search: str | None = option(
        None, "what is tried, such as hidden=64..512,learning_rate=1e-4..3e-2:log,cell=lstm|gru; default: by the task"
    )
    trials: int | None = option(None, "trials in all, by all processes and of earlier days; default: 20")
    trial_time: float | None = option(None, "time limit of each trial", unit="seconds")
    pruner: str = option("median", "which trials are stopped early", choices=PRUNERS)
    storage: str | None = option(None, "database that several machines share, as a URL; default: OUT/study.db (SQLite)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trials is not None and self.trials < 1:
            raise ArgumentError(f"trials={self.trials} would try nothing; give at least 1")
        if self.pruner not in PRUNERS:
            raise ArgumentError(f"pruner is {self.pruner!r}; give one of {', '.join(PRUNERS)}")

    @property
    def most(self) -> int:
        """Trials in all."""
        return self.trials or 20

    @property
    def seconds_each(self) -> float | None:
        """The time limit of a trial; of a search with nothing but a limit as a whole, an equal share of it."""
        if self.trial_time is None and self.epochs is None and self.max_time is not None:
            return self.max_time / self.most
        return self.trial_time

    def of_trial(self, run: Path, seconds: float | None, *, resume: bool) -> Common:
        """What one trial is trained with."""
        own = {f.name: getattr(self, f.name) for f in fields(Common)}
        return Common(**own | {"out": run, "max_time": seconds, "resume": resume})
