"""What `unrolled train` writes and says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from unrolled.cli.main import main
from unrolled.cli.options import with_options
from unrolled.cli.train import GROUPS
from unrolled.tasks import TASKS, Common

Captured = pytest.CaptureFixture[str]


def test_every_option_of_every_task_has_a_heading_in_its_help() -> None:
    for task in TASKS.values():
        command = with_options(lambda common, options: None, Common, task.options, groups=GROUPS)
        assert command.__signature__.parameters  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_the_options_with_their_defaults(task: str, capsys: Captured) -> None:
    assert main(["train", task, "--help"]) == 0
    shown = capsys.readouterr().out
    for words in ("--max-time TIME", "--from PATH", "--resume", "--skip-bad", "--cell", "--hidden", "--json"):
        assert words in shown
    assert "--no-resume" not in shown


def test_the_result_says_how_training_ended_and_where_it_lies(runs: Path, files: Path, capsys: Captured) -> None:
    run = runs / "language"
    capsys.readouterr()
    arguments = ["train", "language", str(files / "story.txt"), "--out", str(run), "--resume"]
    assert main([*arguments, "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert captured.err == ""
    assert found["run"] == str(run)
    assert found["stopped"] == "finished"
    assert found["task"] == "language"
    assert set(found["valid"]) == {"loss", "perplexity", "bits_per_character"}
    assert main([*arguments, "--quiet"]) == 0
    assert f"run         {run}" in capsys.readouterr().out


def test_progress_goes_to_standard_error(files: Path, tmp_path: Path, capsys: Captured) -> None:
    arguments = ["--hidden", "8", "--epochs", "1", "--threads", "1", "--out", str(tmp_path / "run"), "--json"]
    assert main(["train", "classify", str(files / "moods.csv"), *arguments]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["steps"] >= 1
    assert "parameters" in captured.err
    assert "steps" in captured.err


def test_without_out_runs_are_numbered(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in ("001", "002"):
        arguments = ["--hidden", "4", "--epochs", "1", "--threads", "1", "--quiet"]
        assert main(["train", "regress", str(files / "sums.csv"), "--sequence", "sequence", *arguments]) == 0
        assert (tmp_path / "runs" / f"regress-{number}" / "config.json").exists()


def test_a_run_holds_its_metrics_and_events(runs: Path) -> None:
    run = runs / "language"
    assert (run / "metrics.jsonl").read_text(encoding="utf-8").count("\n") >= 1
    if importlib.util.find_spec("tensorboard") is not None:
        assert list((run / "tensorboard").glob("events.*"))


def test_a_cell_of_one_s_own_trains_and_its_run_needs_the_file_no_more(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    source = Path(__file__).parent.parent.parent / "examples" / "own_cell.py"
    copy = tmp_path / "mine.py"
    copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ["--out", str(tmp_path / "run"), "--hidden", "8", "--epochs", "1", "--threads", "1", "--quiet"]
    assert main(["train", "language", str(files / "story.txt"), "--cell", f"{copy}:Counter", *arguments]) == 0
    copy.unlink()
    capsys.readouterr()
    assert main(["generate", str(tmp_path / "run"), "--length", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"]
