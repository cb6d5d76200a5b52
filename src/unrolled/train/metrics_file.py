"""`metrics.jsonl`: the course of a training, one JSON object a line."""

from __future__ import annotations

import errno
import json
import math
import os
from io import FileIO
from pathlib import Path
from typing import Any

from unrolled.errors import RunError
from unrolled.train.observers import Evaluation, Observer, Start, Step, TrainResult


class MetricsFile(Observer):
    """Writes the mean training loss of every `every` steps (`"part": "train"`) and each evaluation (`"valid"`).

    A resumed run first drops the lines after the step that it goes on from, so that no step is there twice.
    Raises RunError where the file cannot be written.
    """

    def __init__(self, path: Path, every: int = 10) -> None:
        self.path = path
        self.every = every
        self._file: FileIO | None = None
        self._loss = 0.0
        self._weight = 0
        self._since = 0.0

    def on_start(self, start: Start) -> None:
        try:
            kept = _lines_up_to(self.path, start.step) if start.step else []
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_name(self.path.name + ".partial")
            fresh.write_text("".join(kept), encoding="utf-8")
            fresh.replace(self.path)
            # Unbuffered, so that nothing is left to be written, and to fail, when the file is closed.
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise self._cannot(error) from error
        self._since = start.seconds

    def on_step(self, step: Step) -> None:
        self._loss += step.loss * step.weight
        self._weight += step.weight
        if step.step % self.every == 0:
            self._write_mean(step)

    def on_evaluate(self, evaluation: Evaluation) -> None:
        self._write(
            {
                "step": evaluation.step,
                "epoch": evaluation.epoch,
                "seconds": round(evaluation.seconds, 3),
                "part": "valid",
                **evaluation.metrics,
                "best": evaluation.best,
            }
        )

    def on_end(self, result: TrainResult) -> None:
        if self._file is not None:
            self._file.close()

    def _write_mean(self, step: Step) -> None:
        passed = step.seconds - self._since
        self._write(
            {
                "step": step.step,
                "epoch": step.epoch,
                "seconds": round(step.seconds, 3),
                "part": "train",
                "loss": self._loss / max(1, self._weight),
                "learning_rate": step.learning_rate,
                "gradient_norm": step.gradient_norm,
                "targets_per_second": round(self._weight / passed, 1) if passed > 0 else None,
            }
        )
        self._loss, self._weight, self._since = 0.0, 0, step.seconds

    def _write(self, line: dict[str, Any]) -> None:
        # JSON has no word for NaN and infinity.
        safe = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        if self._file is None:
            return
        try:
            content = (json.dumps(safe) + "\n").encode()
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> RunError:
        return RunError(
            f"{self.path} cannot be written ({error.strerror or error}); "
            "make room or allow writing, then go on with --resume"
        )


def _lines_up_to(path: Path, step: int) -> list[str]:
    """The lines of steps up to `step` without the cut one that a killed process may have left at the end."""
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    kept = []
    for row, line in enumerate(whole, 1):
        try:
            late = json.loads(line)["step"] > step
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}, row {row} is no line of metrics; repair it or move the file away") from error
        if not late:
            kept.append(line + "\n")
    return kept
