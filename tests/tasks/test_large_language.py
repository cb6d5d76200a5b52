from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.cli.main import main
from unrolled.data.large import Files
from unrolled.data.large import files as large_files
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.events import Encoding, Event
from unrolled.tasks.training import RunResult

SMALL: dict[str, Any] = {"hidden": 8, "embedding": 4, "batch_size": 3, "window": 6}


@pytest.fixture
def story(tmp_path: Path) -> Path:
    words = np.random.default_rng(1).choice(["red", "green", "blue", "so,", "grey."], size=400)
    path = tmp_path / "story.txt"
    path.write_text("\n".join([" ".join(words[k : k + 8]) for k in range(0, 400, 8)]), encoding="utf-8")
    return path


def train(path: Path, out: Path, events: list[Event] | None = None, **named: Any) -> RunResult:
    own = {**SMALL, **named.pop("options", {})}
    common = Common(**{"data": path, "out": out, "epochs": 2, "threads": 1, **named})
    notify = (lambda event: None) if events is None else events.append
    return TASKS["language"].train(TASKS["language"].options(**own), common, (), notify)


@pytest.mark.parametrize("units", ["char", "subword"])
def test_from_the_cache_a_run_is_the_same_to_the_last_bit(story: Path, tmp_path: Path, units: str) -> None:
    options = {"units": units} | ({"vocabulary_size": 300} if units == "subword" else {})
    memory = train(story, tmp_path / "memory", options=options)
    large = train(story, tmp_path / "large", options=options, cache=tmp_path / "cache")
    for name in ("weights.safetensors", "vocabulary.json"):
        assert (tmp_path / "memory" / name).read_bytes() == (tmp_path / "large" / name).read_bytes()
    assert memory.valid == large.valid
    lines = [json.loads(line) for line in (tmp_path / "large" / "metrics.jsonl").read_text().splitlines()]
    others = [json.loads(line) for line in (tmp_path / "memory" / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [line["loss"] for line in others]


def test_a_folder_is_read_alike_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    (tmp_path / "in").mkdir()
    for number in range(9):
        text = " ".join(rng.choice(["one", "two", "three"], size=rng.integers(3, 40)))
        (tmp_path / "in" / f"{number}.txt").write_text(text, encoding="utf-8")
    train(tmp_path / "in", tmp_path / "memory")
    train(tmp_path / "in", tmp_path / "large", cache=tmp_path / "cache")
    assert (tmp_path / "memory/weights.safetensors").read_bytes() == (
        tmp_path / "large/weights.safetensors"
    ).read_bytes()


def test_a_run_from_the_cache_goes_on_where_it_was(story: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    train(story, tmp_path / "parts", epochs=2, cache=cache, options={"decay": "constant", "warmup": 0.0})
    events: list[Event] = []
    story.touch()  # the same content, read anew
    resumed = train(story, tmp_path / "parts", events, epochs=4, resume=True, options={})
    assert any(isinstance(event, Encoding) for event in events)
    assert resumed.training.resumed_from == resumed.training.step // 2


def test_a_large_file_is_measured_in_pieces(story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(story, tmp_path / "run")
    model = open_run(tmp_path / "run")
    memory = model.evaluate(story)
    monkeypatch.setattr(large_files, "LARGE", 1)
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    assert model.evaluate(story) == pytest.approx(memory, rel=1e-5)
    monkeypatch.setattr("unrolled.tasks.large._PIECE", 100)
    assert model.evaluate(story) == pytest.approx(memory, rel=1e-3)


def test_another_runs_units_are_those_of_its_vocabulary(story: Path, tmp_path: Path) -> None:
    train(story, tmp_path / "first", options={"units": "word", "lowercase": True})
    second = train(story, tmp_path / "second", from_run=tmp_path / "first", cache=tmp_path / "cache")
    assert second.model.vocabulary is not None and second.model.vocabulary.units == "word"


def test_several_files_are_for_tasks_that_read_them(story: Path, tmp_path: Path) -> None:
    for name, task in TASKS.items():
        if task.model.large:
            continue
        with pytest.raises(
            ArgumentError, match=f"several training files are for tasks that read large text, and {name}"
        ):
            task.train(task.options(), Common(data=story, more=(story,), out=tmp_path / "run"))
    with pytest.raises(ArgumentError, match="rows of one sequence may lie anywhere"):
        train(story, tmp_path / "run", cache=tmp_path, options={"sequence": "who", "units": "symbol"})
    with pytest.raises(DataError, match="no file has a name of this pattern"):
        train(tmp_path / "*.csv", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_takes_several_files(story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.txt"
    other.write_text("another one\n" * 50, encoding="utf-8")
    sizes = ["--hidden", "8", "--epochs", "1", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "run")]
    assert main(["train", "language", str(story), str(other), *sizes]) == 0
    said = capsys.readouterr().err
    assert "encoding: 100% of 0.00 MB" in said
    total = Files((story, other)).size
    assert f"{total - round(0.1 * total):,} units to train on" in said
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["common"]["more"] == [str(other)]
