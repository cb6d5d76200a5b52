"""The gradient through time while a network is trained: every N steps, from the training's own backward pass."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError, RunError
from unrolled.inspect.arrays import Shown
from unrolled.inspect.gradient import TimeGradient, log_spaced, measured
from unrolled.inspect.verdict import Verdict
from unrolled.layers.probe import Watch, watching
from unrolled.train import Observer, Start, Step, TrainResult

_ROWS = 4
_PROBES = 2


@dataclass(frozen=True)
class Reading(Shown):
    """What was measured at one training step, for every layer and direction."""

    step: int
    gradients: tuple[TimeGradient, ...]


def sparse(steps: int, reverse: bool) -> list[int]:
    """Marks at about three distances for each doubling: enough for a curve, few enough to cost little."""
    return [d if reverse else steps - 1 - d for d in log_spaced(steps - 1, 4, 3)]


class GradientObserver(Observer):
    """Measures dL/dh_t and dh_T/dh_t every `every` steps of a training, and keeps the `readings`.

    The loss's part is taken from the training step's own backward pass; for dh_T/dh_t a few rows are run once more.
    `path`: a file of JSON lines to write as well. `tell` is called with a sentence when a verdict changes.
    Under dropout and the like dL/dh_t is the step's own, dh_T/dh_t that of evaluation.
    """

    def __init__(
        self, every: int = 100, *, path: Path | None = None, tell: Callable[[str], None] | None = None
    ) -> None:
        if every < 1:
            raise ArgumentError(f"every is {every}, but gradients are measured each so many steps; give 1 or more")
        self.every = every
        self.path = path
        self.tell = tell
        self.readings: list[Reading] = []
        self._module: nn.Module | None = None
        self._open: tuple[AbstractContextManager[Watch], Watch] | None = None
        self._kinds: dict[str, str] = {}

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict of the last reading for each layer and direction."""
        return {str(g.place): g.verdict for g in self.readings[-1].gradients} if self.readings else {}

    def on_start(self, start: Start) -> None:
        self._module = start.module
        if self.path is not None and self.path.exists():
            # What a resumed run measures again is not to be there twice.
            lines = [line for line in self.path.read_text(encoding="utf-8").splitlines() if _step(line) <= start.step]
            self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self._arm(start.step)

    def on_step(self, step: Step) -> None:
        watch = self._disarm()
        if watch is not None:
            # A network that goes on step by step makes as many passages as steps, which no single curve describes.
            passages = [p for p in watch.passages if p.steps > 1]
            reading = Reading(step.step, tuple(_measure(p) for p in passages))
            if reading.gradients:
                self.readings.append(reading)
                self._say(reading)
        self._arm(step.step)

    def on_end(self, result: TrainResult) -> None:
        self._disarm()

    def _arm(self, taken: int) -> None:
        """Watch the next step, if a measurement is due there."""
        if self._module is not None and (taken + 1) % self.every == 0:
            context = watching(self._module, marks=sparse, training=True)
            self._open = context, context.__enter__()

    def _disarm(self) -> Watch | None:
        if self._open is None:
            return None
        context, watch = self._open
        self._open = None
        context.__exit__(None, None, None)
        return watch

    def _say(self, reading: Reading) -> None:
        for gradient in reading.gradients:
            place, verdict = str(gradient.place), gradient.verdict
            if self.tell is not None and self._kinds.get(place) != verdict.kind:
                since = "" if verdict.step is None else f" from {verdict.step} steps back on"
                self.tell(f"step {reading.step:,}: the gradient through time of {place} is {verdict.kind}{since}")
            self._kinds[place] = verdict.kind
        if self.path is not None:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(_line(reading)) + "\n")
            except OSError as error:
                raise RunError(
                    f"{self.path} cannot be written ({error.strerror or error}); make room or allow writing"
                ) from error


def _step(line: str) -> float:
    """The step of a line; a cut one, which a killed process may have left, belongs to none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _measure(passage: Any) -> TimeGradient:
    gradients = [[_gradient(tensor) for tensor in state] for state in passage.states]
    return measured(passage, gradients, probes=_PROBES, marks=sparse, rows=_ROWS)


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _line(reading: Reading) -> dict[str, Any]:
    return {
        "step": reading.step,
        "gradients": [{**g.to_json(), "verdict": g.verdict.kind, "from": g.verdict.step} for g in reading.gradients],
    }
