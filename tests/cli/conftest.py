"""Small files and small runs that the tests of the commands share."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from unrolled.cli.main import main

SMALL = ["--hidden", "8", "--embedding", "4", "--epochs", "2", "--threads", "1", "--quiet"]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with story.txt, moods.csv and sums.csv."""
    folder = tmp_path_factory.mktemp("files")
    rng = random.Random(7)
    names = ("the cat", "a dog", "my sister")
    (folder / "story.txt").write_text(
        "".join(f"{rng.choice(names)} sees {rng.choice(names)}.\n" for _ in range(200)), encoding="utf-8"
    )
    moods = [(f"it is {rng.choice(('good', 'fine'))} {place}", "happy") for place in range(20)]
    moods += [(f"it is {rng.choice(('bad', 'poor'))} {place}", "sad") for place in range(20)]
    _table(folder / "moods.csv", "text,label", moods)
    rows = []
    for sequence in range(20):
        numbers = [rng.gauss(0, 1) for _ in range(rng.randint(2, 6))]
        rows += [(sequence, f"{number:.4f}", f"{sum(numbers):.4f}") for number in numbers]
    _table(folder / "sums.csv", "sequence,x,target", rows)
    return folder


def _table(path: Path, head: str, rows: list[tuple[object, ...]]) -> None:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def runs(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs language, classify and regress, hardly trained."""
    folder = tmp_path_factory.mktemp("runs")
    for task, name, more in (
        ("language", "story.txt", []),
        ("classify", "moods.csv", []),
        ("regress", "sums.csv", ["--sequence", "sequence"]),
    ):
        assert main(["train", task, str(files / name), "--out", str(folder / task), *SMALL, *more]) == 0
    return folder
