"""Several processes: what each reads, and that together they take the steps of one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from batteries.small_models import small_file
from train.several import BATCH, train
from unrolled.data import LengthBatches, TokenStreams
from unrolled.data.windows import WindowBatches
from unrolled.errors import ArgumentError
from unrolled.tasks import TASKS, Common
from unrolled.train.distributed import ALONE, Share, World, launched

SCRIPT = Path(__file__).with_name("several.py")
TESTS = SCRIPT.parents[1]


@pytest.mark.parametrize("ranks", [2, 3])
def test_shares_together_are_the_batches(ranks: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 17)
    for whole in (LengthBatches(lengths, 4, 5), WindowBatches(23, 4, 5)):
        shares = [whole.of_rank(rank, ranks) for rank in range(ranks)]
        for number in (0, 3):
            batches = zip(*(zip(s.epoch(number, 1), s.own(number, 1), strict=True) for s in shares), strict=True)
            for full, parts in zip(whole.epoch(number, 1), batches, strict=True):
                found = np.concatenate([rows for rows, own in parts if own])
                assert sorted(found) == sorted(full)
                assert all(len(rows) == 1 and rows[0] == full[0] for rows, own in parts if not own)


def test_streams_are_divided_whole() -> None:
    documents = [np.random.default_rng(k).integers(0, 9, 10 + 7 * k) for k in range(5)]
    whole = TokenStreams(documents, 5, 4, 1)
    parts = [whole.of_rank(rank, 2) for rank in range(2)]
    for window, *both in zip(whole.epoch(2), *(part.epoch(2) for part in parts), strict=True):
        for name in ("inputs", "targets", "lengths", "fresh", "context"):
            np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in both]), getattr(window, name))
    for part in parts:
        reading = [bool(window.lengths.sum()) for window in part.epoch(0)]
        assert list(part.own(0)) == reading
    with pytest.raises(ArgumentError, match=r"5 streams .* between 6 processes; give 6 or more"):
        whole.of_rank(0, 6)


def test_a_source_that_cannot_be_divided() -> None:
    with pytest.raises(ArgumentError, match="batches of list cannot be divided; train with one process"):
        Share([], World(0, 2))  # type: ignore[arg-type]


def test_alone_there_is_nobody_to_ask() -> None:
    assert not launched()
    assert ALONE.said(lambda: 3) == 3 and ALONE.total(1.5) == [1.5] and ALONE.largest(2) == 2
    assert ALONE.mine(7) == slice(0, 7) and ALONE.each("a") == ["a"] and ALONE.clock(float)() == 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have trained together."""
    found = tmp_path_factory.mktemp("several")
    for task in ("language", "classify"):
        small_file(task, found)
    (found / "there").mkdir()
    (found / "there" / "file").write_text("x")
    (found / "other.txt").write_text("another text. " * 40)
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    done = subprocess.run(
        [
            *launch,
            str(found),
            "language:two-language:12",
            "classify:two-classify:8",
            "language:parts:3",
            "classify:there:1",
            "language:cached:12",
            "language:gone:1",
            "language:other:1",
            "language:broken:1",
        ],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return found


def losses(run: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def same(one: Path, other: Path, tolerance: float) -> None:
    """The same losses and, to rounding, the same weights."""
    ours, theirs = losses(one), losses(other)
    assert [step for step, _ in ours] == [step for step, _ in theirs] and len(ours) > 2
    np.testing.assert_allclose([loss for _, loss in ours], [loss for _, loss in theirs], rtol=tolerance)
    weights = load_file(other / "weights.safetensors")
    for name, weight in load_file(one / "weights.safetensors").items():
        torch.testing.assert_close(weight, weights[name], rtol=100 * tolerance, atol=100 * tolerance)


@pytest.mark.parametrize(("task", "epochs"), [("language", 12), ("classify", 8)])
def test_two_processes_take_the_steps_of_one(task: str, epochs: int, folder: Path) -> None:
    train(task, folder, f"one-{task}", epochs)
    same(folder / f"one-{task}", folder / f"two-{task}", 1e-5)
    saved = json.loads((folder / f"two-{task}" / "config.json").read_text())
    assert saved["results"]["stopped"] == "finished"


def test_a_checkpoint_of_two_goes_on_with_one(folder: Path) -> None:
    train("language", folder, "three", 3)
    three = dict(losses(folder / "three"))
    TASKS["language"].train(TASKS["language"].options(), Common(out=folder / "parts", resume=True, epochs=6, threads=1))
    rows = losses(folder / "parts")
    assert rows[-1][0] == 2 * max(three) and rows[-1][1] < rows[0][1]
    # the state of both processes' streams was saved as that of one
    assert load_file(next((folder / "parts").glob("checkpoint-*")) / "carry.safetensors")["0"].shape[0] == BATCH


def test_what_goes_wrong_in_the_first_is_said_by_all(folder: Path) -> None:
    said = [(folder / f"error-there-{rank}.txt").read_text() for rank in (0, 1)]
    assert "is there and not empty" in said[0] and said[0] == said[1]


def test_two_processes_encode_once_and_read_their_shares(folder: Path) -> None:
    assert len([path for path in (folder / "cache").iterdir() if path.is_dir()]) == 1
    same(folder / "cached", folder / "two-language", 1e-5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", r"process 1 of 2: .*gone.txt: there is no such file"),
        ("other", "process 1 has read other data than the first; give all of them the same files"),
    ],
)
def test_what_goes_wrong_in_another_is_said_by_all(name: str, sentence: str, folder: Path) -> None:
    said = [(folder / f"error-{name}-{rank}.txt").read_text() for rank in (0, 1)]
    assert re.match(sentence, said[0]) and said[0] == said[1]
    assert not (folder / name).exists()


def test_a_process_that_fails_on_the_way_ends_all(folder: Path) -> None:
    first, second = ((folder / f"error-broken-{rank}.txt").read_text() for rank in (0, 1))
    # the second says what it found; the first, that it is alone
    assert second == "a.txt, row 7: this row is bad (False)"
    assert first.startswith("another process of this training has ended or cannot be reached") and "True" in first


def test_a_run_folder_must_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from unrolled.tasks import training

    monkeypatch.setattr(training, "launched", lambda: True)
    options: Any = TASKS["classify"].options()
    with pytest.raises(ArgumentError, match="need a run folder that all of them know; give --out RUN"):
        TASKS["classify"].train(options, Common(data=small_file("classify", tmp_path)))
