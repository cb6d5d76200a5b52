"""Small data of each kind, made by chance, and runs that are hardly trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.tasks import TASKS, Common
from unrolled.tasks.training import RunResult

LETTERS = "abcde "
SMALL: dict[str, dict[str, Any]] = {
    "language": {"hidden": 12, "embedding": 6, "batch_size": 4, "window": 8},
    "classify": {"hidden": 6, "embedding": 5, "batch_size": 16},
    "regress": {"hidden": 6, "batch_size": 16, "sequence": "id", "target": ("sum", "first")},
}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """story.txt, moods.csv, many.csv (several labels a row), sums.csv (a long table), rated.csv (text to number)."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(11)
    story = "".join(rng.choice(list(LETTERS), p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1], size=1500))
    (folder / "story.txt").write_text(story + "\n", encoding="utf-8")
    words = [" ".join(rng.choice(["red", "green", "blue", "grey"], size=rng.integers(2, 6))) for _ in range(60)]
    moods = [(text, "warm" if text.count("red") else "cold", int(rng.integers(8))) for text in words]
    _write(folder / "moods.csv", "text,label,who", moods)
    many = [(text, "|".join(sorted({w for w in text.split() if w != "grey"}))) for text in words]
    _write(folder / "many.csv", "text,label", many)
    _write(folder / "rated.csv", "text,stars", [(text, f"{text.count('blue') + rng.normal():.3f}") for text in words])
    rows = []
    for sequence in range(50):
        numbers = rng.normal(size=(rng.integers(2, 7), 2))
        total, first = numbers.sum(), 100 * numbers[0, 0]
        rows += [(sequence, f"{a:.4f}", f"{b:.4f}", f"{total:.4f}", f"{first:.4f}") for a, b in numbers]
    _write(folder / "sums.csv", "id,x,y,sum,first", rows)
    return folder


def _write(path: Path, head: str, rows: list[tuple[object, ...]]) -> None:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")


FILE = {"language": "story.txt", "classify": "moods.csv", "regress": "sums.csv"}
Train = Callable[..., RunResult]


@pytest.fixture
def train(files: Path) -> Train:
    """Train a small model of a task: `train("classify", out, epochs=3, options={...}, observers=(...))`."""

    def run(
        task: str, out: Path | None, *, options: dict[str, Any] | None = None, observers: Any = (), **common: Any
    ) -> RunResult:
        wanted = TASKS[task].options(**{**SMALL[task], **(options or {})})
        data = {"data": files / FILE[task], "epochs": 2, "threads": 1, **common}
        return TASKS[task].train(wanted, Common(out=out, **data), observers)

    return run


@pytest.fixture(scope="session")
def runs(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each task."""
    folder = tmp_path_factory.mktemp("runs")
    for task, settings in SMALL.items():
        TASKS[task].train(
            TASKS[task].options(**settings),
            Common(data=files / FILE[task], out=folder / task, epochs=2, threads=1),
            command=f"unrolled train {task}",
        )
    return folder
