"""Trains small models; started by `torchrun` as one of several processes, or alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from unrolled.errors import DataError, UnrolledError
from unrolled.tasks import TASKS, Common
from unrolled.tasks.language import LanguageTask
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
    data = common.pop("data", folder / {"language": "story.txt", "classify": "moods.csv"}[task])
    options = TASKS[task].options(**SMALL[task])
    settings = {"valid": data, "epochs": epochs, "threads": 1, "checkpoint_every": "3steps", **common}
    TASKS[task].train(options, Common(data=data, out=folder / name, **settings))


def strange(name: str, folder: Path, rank: int) -> dict[str, Any]:
    """What a job does otherwise, by its name."""
    if name == "cached":
        return {"cache": folder / "cache"}
    if name == "broken" and rank:
        break_later()
    only_here = {"gone": folder / "gone.txt", "other": folder / "other.txt"}
    return {"data": only_here[name]} if rank and name in only_here else {}


def break_later() -> None:
    """The first two losses are those of the trial step, which all processes wait for."""
    loss, calls = LanguageTask.loss, iter(range(4))

    def failing(self: Any, batch: Any, carry: Any) -> Any:
        if next(calls, None) is None:
            raise DataError("this row is bad", "a.txt", 7)
        return loss(self, batch, carry)

    LanguageTask.loss = failing  # type: ignore[method-assign]


def main(folder: Path, jobs: list[str]) -> None:
    # The group lives as long as the process, so that several trainings share it.
    name, rank = "", int(os.environ["RANK"])
    try:
        with joined("cpu"):
            for job in jobs:
                task, name, epochs = job.split(":")
                try:
                    train(task, folder, name, int(epochs), **strange(name, folder, rank))
                except UnrolledError as error:
                    if not error.everywhere:
                        raise
                    (folder / f"error-{name}-{rank}.txt").write_text(str(error))
    except UnrolledError as error:
        (folder / f"error-{name}-{rank}.txt").write_text(f"{error} ({error.everywhere})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
