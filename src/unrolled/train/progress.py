"""A progress bar on standard error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from unrolled.train.observers import Evaluation, Observer, Start, Step, TrainResult
from unrolled.train.schedule import Plan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_SMOOTHING = 0.98


class ProgressBar(Observer):
    """Step, loss, last value of `metric`, speed in `unit` a second and time left.

    Without a terminal it prints a line at each evaluation. It draws at most every `interval` seconds and in the
    training thread, because a drawing thread would take its time from short steps.
    """

    def __init__(
        self, unit: str = "targets", metric: str = "loss", *, console: Console | None = None, interval: float = 0.5
    ) -> None:
        self.unit = unit
        self.metric = metric
        self.interval = interval
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._first = self._last = 0
        self._targets = 0
        self._loss: float | None = None
        self._valid = ""
        self._began = self._drawn = time.perf_counter()
        self._plan: Plan | None = None

    def on_start(self, start: Start) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = self._console or Console(stderr=True)
        self._plan = start.plan
        self._first = self._last = start.step
        self._began = time.perf_counter()
        if self._console.is_terminal:
            columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False))
            # Standard output belongs to results, which must not be drawn above the bar.
            self._bar = Progress(
                *columns, console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
            )
            self._task = self._bar.add_task("measuring speed", total=None, completed=start.step)
            self._bar.start()

    def on_plan(self, plan: Plan) -> None:
        self._plan = plan

    def on_step(self, step: Step) -> None:
        self._last = step.step
        self._targets += step.weight
        self._loss = step.loss if self._loss is None else _SMOOTHING * self._loss + (1 - _SMOOTHING) * step.loss
        now = time.perf_counter()
        if now - self._drawn >= self.interval:
            self._drawn = now
            self._draw(now)

    def on_evaluate(self, evaluation: Evaluation) -> None:
        if self.metric in evaluation.metrics:
            self._valid = f"valid {self.metric} {evaluation.metrics[self.metric]:.4f}"
        if self._bar is not None:
            self._draw(time.perf_counter())
        elif self._console is not None:
            self._console.print(self.line(time.perf_counter()), markup=False, highlight=False, soft_wrap=True)

    def on_end(self, result: TrainResult) -> None:
        if self._bar is not None:
            self._bar.stop()

    def line(self, now: float) -> str:
        """What stands beside the bar."""
        total = self._plan.total_steps if self._plan is not None else None
        parts = [f"{self._last:,}/{total:,} steps" if total is not None else f"{self._last:,} steps"]
        if self._loss is not None:
            parts.append(f"loss {self._loss:.4f}")
        parts.append(self._valid)
        passed = now - self._began
        if passed > 0 and self._last > self._first:
            parts.append(f"{self._targets / passed:,.0f} {self.unit}/s")
            if total is not None:
                parts.append(f"{clock((total - self._last) * passed / (self._last - self._first))} left")
        return "  ".join(part for part in parts if part)

    def _draw(self, now: float) -> None:
        if self._bar is None or self._task is None:
            return
        total = self._plan.total_steps if self._plan is not None else None
        self._bar.update(self._task, description=self.line(now), completed=self._last, total=total)
        self._bar.refresh()


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:30 or 2:05:00."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
