from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from unrolled.errors import ArgumentError, RunError
from unrolled.tasks import TASKS, Common, open_run
from unrolled.train import Interrupted, Observer, Step, TrainResult

DROPOUT: dict[str, dict[str, Any]] = {
    "language": {"dropout": 0.2, "zoneout": 0.1},
    "classify": {"class_weights": "balanced"},
    "regress": {"weight_drop": 0.1, "ema": 0.9},
}


class Stop(Observer):
    """Presses Ctrl-C after a step."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_step(self, step: Step) -> None:
        if step.step == self.after:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("task", ["language", "classify", "regress"])
@pytest.mark.parametrize("after", [1, 7])
def test_a_resumed_run_equals_one_that_was_never_stopped(task: str, after: int, train: Any, tmp_path: Path) -> None:
    train(task, tmp_path / "whole", options=DROPOUT[task], epochs=3)
    with pytest.raises(Interrupted, match="go on with --resume"):
        train(task, tmp_path / "parts", options=DROPOUT[task], epochs=3, observers=(Stop(after),))
    assert open_run(tmp_path / "parts").task == task
    resumed = TASKS[task].train(TASKS[task].options(), Common(out=tmp_path / "parts", resume=True))
    assert resumed.training.resumed_from == after
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")


def lines(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what the clock says."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "targets_per_second")}
        for row in rows
        if row["part"] == "valid"
    ]


def resume(run: Path, task: str = "language", options: dict[str, Any] | None = None, **common: Any) -> TrainResult:
    made = TASKS[task].options(**(options or {}))
    return TASKS[task].train(made, Common(out=run, resume=True, **common)).training


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "language", tmp_path / "run"))


def test_a_finished_run_is_left_as_it_is(run: Path) -> None:
    before = load_file(run / "weights.safetensors")
    result = resume(run)
    assert result.resumed_from == result.step
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_file(run / "weights.safetensors").items())


@pytest.mark.parametrize(
    ("limits", "words"),
    [({}, "all [0-9,]+ steps are done; ask for more epochs"), ({"epochs": 3, "max_time": 1e-3}, "limit of 0.001 s")],
)
def test_a_resume_that_has_nothing_to_do_says_why(run: Path, limits: dict[str, Any], words: str) -> None:
    heard: list[str] = []
    common = Common(out=run, resume=True, **limits)
    TASKS["language"].train(TASKS["language"].options(), common, notify=lambda event: heard.append(str(event)))
    assert re.search(f"nothing left to do: .*{words}", "\n".join(heard))


def test_more_epochs_may_be_asked_for(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    result = resume(run, epochs=3)
    assert result.step == config["total_steps"] * 3 // 2
    assert json.loads((run / "config.json").read_text())["total_steps"] == result.step


def test_a_run_killed_before_its_first_checkpoint_starts_again(run: Path, train: Any, tmp_path: Path) -> None:
    for path in run.glob("checkpoint*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = load_file(run / "weights.safetensors")
    (run / "weights.safetensors").unlink()
    resume(run)
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_file(run / "weights.safetensors").items())


def test_other_options_may_not_change(run: Path) -> None:
    with pytest.raises(
        RunError, match="was trained with hidden=12 and 64 is asked for now; resume may change only time"
    ):
        resume(run, options={"hidden": 64})
    with pytest.raises(RunError, match="was trained with seed=0 and 5 is asked for now"):
        resume(run, seed=5)
    with pytest.raises(RunError, match="is a run of the task language; resume it with `unrolled train language`"):
        resume(run, "classify")
    with pytest.raises(ArgumentError, match="resume needs the run to go on with; give --out RUN"):
        TASKS["language"].train(TASKS["language"].options(), Common(resume=True))
    with pytest.raises(RunError, match="is not a run folder"):
        resume(run / "nowhere")


def test_options_that_were_tampered_with(run: Path) -> None:
    data = json.loads((run / "config.json").read_text())
    del data["options"]["hidden"]
    (run / "config.json").write_text(json.dumps(data))
    with pytest.raises(RunError, match=r"the options in config\.json were changed or damaged"):
        resume(run)


def test_other_data_is_refused_and_moved_data_is_not(run: Path, files: Path, tmp_path: Path) -> None:
    text = (files / "story.txt").read_text()
    (tmp_path / "moved.txt").write_text(text)
    (tmp_path / "other.txt").write_text(text[::-1])
    assert resume(run, data=tmp_path / "moved.txt").stopped == "finished"
    with pytest.raises(RunError, match="the train part is not what the run was started with; restore the data"):
        resume(run, data=tmp_path / "other.txt")


def test_a_time_limit_fixes_the_number_of_steps(train: Any, tmp_path: Path) -> None:
    result = train("language", tmp_path / "run", epochs=None, max_time=1.0)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["total_steps"] == result.training.total_steps
    assert result.training.step <= config["total_steps"]
