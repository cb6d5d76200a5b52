"""Trains small models; started by `torchrun` as one of several processes, or alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from unrolled.errors import RunError
from unrolled.tasks import TASKS, Common
from unrolled.train.distributed import joined

# Odd numbers of rows, so that processes have unlike shares, and a last batch that is too small for all of them.
BATCH = 5
SMALL: dict[str, dict[str, Any]] = {
    "language": {"hidden": 6, "embedding": 4, "window": 9, "units": "char", "batch_size": BATCH},
    # chance in a process of its own is its own
    "classify": {"hidden": 5, "embedding": 4, "units": "char", "batch_size": BATCH}
    | dict.fromkeys(("dropout", "input_dropout", "word_dropout"), 0.0),
}


def train(task: str, folder: Path, name: str, epochs: int, **common: Any) -> None:
    """One run in `folder / name`."""
    data = folder / {"language": "story.txt", "classify": "moods.csv"}[task]
    options = TASKS[task].options(**SMALL[task])
    settings = {"valid": data, "epochs": epochs, "threads": 1, "checkpoint_every": "3steps", **common}
    TASKS[task].train(options, Common(data=data, out=folder / name, **settings))


if __name__ == "__main__":
    # The group lives as long as the process, so that several trainings share it.
    with joined("cpu") as world:
        for job in sys.argv[2:]:
            task, name, epochs = job.split(":")
            try:
                train(task, Path(sys.argv[1]), name, int(epochs))
            except RunError as error:
                (Path(sys.argv[1]) / f"error-{world.rank}.txt").write_text(str(error))
