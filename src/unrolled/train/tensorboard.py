"""TensorBoard event files beside `metrics.jsonl`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import RunError
from unrolled.train.observers import Evaluation, Observer, Start, Step, TrainResult

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


def tensorboard_installed() -> bool:
    """Whether `TensorBoardWriter` can be used."""
    return find_spec("tensorboard") is not None


class TensorBoardWriter(Observer):
    """Writes loss, learning rate and gradient norm of every `every` steps and each evaluation into `folder`.

    Raises RunError where TensorBoard is not installed or its files cannot be written.
    """

    def __init__(self, folder: Path, every: int = 10) -> None:
        if not tensorboard_installed():
            raise RunError(
                "TensorBoard is not installed, so no event files can be written; pip install unrolled[track]"
            )
        self.folder = folder
        self.every = every
        self._writer: SummaryWriter | None = None
        self._hook: Callable[[threading.ExceptHookArgs], Any] | None = None

    def on_start(self, start: Start) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        # Its thread would print a traceback of what is raised here as well.
        self._hook, threading.excepthook = threading.excepthook, self._unheard
        with self._written():
            # Events of steps that are about to be taken again are hidden by TensorBoard.
            self._writer = SummaryWriter(str(self.folder), purge_step=start.step + 1 if start.step else None)

    def on_step(self, step: Step) -> None:
        if step.step % self.every == 0:
            self._write("train/loss", step.loss, step.step)
            self._write("train/learning_rate", step.learning_rate, step.step)
            self._write("train/gradient_norm", step.gradient_norm, step.step)

    def on_evaluate(self, evaluation: Evaluation) -> None:
        for name, value in evaluation.metrics.items():
            self._write(f"valid/{name}", value, evaluation.step)

    def on_end(self, result: TrainResult) -> None:
        # What went wrong before is told; what ends a training is not to be hidden by it.
        with contextlib.suppress(OSError):
            if self._writer is not None:
                self._writer.close()
        if self._hook is not None:
            threading.excepthook = self._hook

    def _write(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            with self._written():
                self._writer.add_scalar(name, value, step)

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be written ({error.strerror or error}); "
                "make room or allow writing, then go on with --resume"
            ) from error

    def _unheard(self, found: threading.ExceptHookArgs) -> None:
        if self._hook is not None and not isinstance(found.exc_value, OSError):
            self._hook(found)
