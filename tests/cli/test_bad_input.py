"""Every bad input: one clear sentence, a non-zero exit, nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli.main import main
from unrolled.train import ProgressBar

Captured = pytest.CaptureFixture[str]
SMALL = ["--hidden", "8", "--embedding", "4", "--epochs", "2", "--threads", "1"]


def fails(capsys: Captured, *arguments: object) -> str:
    """The one sentence of a command that must fail with exit code 1."""
    capsys.readouterr()
    code = main([*map(str, arguments), "--quiet"])
    captured = capsys.readouterr()
    assert code == 1
    assert captured.out == ""
    assert captured.err.startswith("unrolled: ")
    assert captured.err.endswith((".\n", "?\n"))
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def table(*rows: str) -> bytes:
    return "\n".join(["text,label", *rows, ""]).encode()


ROWS = [f"word {place},{'ab'[place % 2]}" for place in range(12)]
CASES: dict[str, tuple[str, bytes | None, list[str], list[str]]] = {
    # name: (task, content of the file, more arguments, words of the sentence)
    "missing file": ("language", None, [], ["in.csv", "there is no such file"]),
    "empty file": ("language", b"", [], ["in.csv", "is empty"]),
    "empty table": ("classify", b"", [], ["in.csv", "empty"]),
    "header alone": ("classify", table(), [], ["in.csv"]),
    "wrong column": ("classify", table(*ROWS), ["--text", "txt"], ["in.csv", "'txt'", "'text'", "nearest"]),
    "empty text in row 7": ("classify", table(*ROWS[:5], ",a", *ROWS[5:]), [], ["in.csv, row 7", "empty"]),
    "label seen once": ("classify", table(*ROWS, "odd,c"), [], ["in.csv, row 14", "'c' is seen only here"]),
    "binary file": ("language", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), [], ["in.csv", "binary"]),
    "invalid UTF-8": ("language", table(*ROWS[:3]) + b"caf\xe9 au lait\n", [], ["in.csv, row 5", "not UTF-8"]),
    "no number": ("regress", b"target,x\n1,2\nmany,3\n", [], ["in.csv, row 3", "'many'"]),
    "unknown cell": ("classify", table(*ROWS), ["--cell", "gruu"], ["'gruu'", "'gru'"]),
    "unknown device": ("classify", table(*ROWS), ["--device", "tpu0"], ["tpu0"]),
}


RANGES = {
    "--seed=-1": "seed=-1 must be at least 0",
    "--embedding=0": "embedding=0 must be at least 1",
    "--hidden=0": "hidden=0 must be at least 1",
    "--layers=0": "layers=0 must be at least 1",
    "--epochs=0": "epochs=0 must be above zero",
    "--threads=0": "threads=0 must be above zero",
    "--batch-size=0": "batch_size=0 must be at least 1",
    "--learning-rate=nan": "learning_rate=nan must be above zero",
    "--dropout=1.5": "dropout is 1.5",
    "--zoneout=-0.1": "zoneout is -0.1",
    "--validation=1": "1.0 of the rows cannot be held out to validate on",
    "--clip=-1": "clip=-1.0 must be above zero",
}


@pytest.mark.parametrize("option", RANGES)
def test_a_number_out_of_range_is_one_sentence_and_no_run(
    option: str, files: Path, tmp_path: Path, capsys: Captured
) -> None:
    arguments = ["train", "classify", files / "moods.csv", "--out", tmp_path / "run", option]
    assert RANGES[option] in fails(capsys, *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", CASES)
def test_bad_training_data_is_one_sentence_and_no_run(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    task, content, more, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("in.csv").write_bytes(content)
    sentence = fails(capsys, "train", task, "in.csv", "--out", "run", *SMALL, *more)
    assert [word for word in words if word not in sentence] == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "in.csv"] == []


def test_text_files_take_no_columns_and_bad_bytes_are_found_in_txt(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"one\ntwo\nth\xffree\n")
    assert "in.txt, row 3" in fails(capsys, "train", "language", path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_empty_is_refused(runs: Path, files: Path, capsys: Captured) -> None:
    before = {path: path.stat().st_mtime_ns for path in (runs / "classify").iterdir()}
    sentence = fails(capsys, "train", "classify", files / "moods.csv", "--out", runs / "classify")
    assert "--resume" in sentence
    assert {path: path.stat().st_mtime_ns for path in (runs / "classify").iterdir()} == before


def test_resume_may_not_change_the_network(runs: Path, files: Path, capsys: Captured) -> None:
    arguments = ["train", "classify", files / "moods.csv", "--out", runs / "classify", "--resume"]
    assert "hidden" in fails(capsys, *arguments, "--hidden", 9)


def cut(name: str, keep: float) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: int(len(content) * keep)])

    return apply


def missing(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def other_version(run: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (run / "config.json").write_text(json.dumps({**config, "format": 99, "unrolled": "7.1"}), encoding="utf-8")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (missing("config.json"), "is not a run folder"),
    "no weights": (missing("weights.safetensors"), "has no weights.safetensors"),
    "no vocabulary": (missing("vocabulary.json"), "vocabulary"),
    "config cut short": (cut("config.json", 0.5), "config.json is cut short"),
    "weights cut short": (cut("weights.safetensors", 0.5), "weights.safetensors is cut short"),
    "vocabulary cut short": (cut("vocabulary.json", 0.5), "vocabulary.json is cut short"),
    "another version": (other_version, "is a run of format 99 (unrolled 7.1)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_one_sentence(damage: str, runs: Path, tmp_path: Path, capsys: Captured) -> None:
    apply, words = DAMAGE[damage]
    shutil.copytree(runs / "classify", tmp_path / "run")
    apply(tmp_path / "run")
    assert words in fails(capsys, "predict", tmp_path / "run", "--literal", "it is good")


def run_limited(bytes_a_file: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process that can write no file above a size: the system refuses as it does on a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "unrolled", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file)),
    )


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="limits of file sizes are a thing of Unix")
def test_a_full_disk_while_saving_is_one_sentence(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = run_limited(2000, "train", "language", files / "story.txt", "--out", run, *SMALL, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in run.rglob("*") if ".part" in path.name or path.name == "weights.safetensors"] == []


def test_a_full_disk_while_embedding_leaves_no_file(runs: Path, files: Path, tmp_path: Path) -> None:
    done = run_limited(1000, "embed", runs / "classify", files / "moods.csv", "--out", tmp_path / "v.npy")
    assert done.returncode == 1
    assert "v.npy could not be written" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_saves_and_the_same_command_goes_on(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    command = ["train", "language", str(files / "story.txt"), "--out", str(tmp_path / "run"), *SMALL]
    with monkeypatch.context() as patched:
        steps = []

        def interrupt(bar: ProgressBar, step: object) -> None:
            steps.append(step)
            if len(steps) == 2:
                signal.raise_signal(signal.SIGINT)

        patched.setattr(ProgressBar, "on_step", interrupt)
        assert main(command) == 130
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "interrupted" in sentence.lower()
    assert "--resume" in sentence
    assert len(steps) == 2
    assert (tmp_path / "run" / "checkpoint-2").is_dir()

    assert main([*command, "--resume", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["steps"] > 2
    assert main(["generate", str(tmp_path / "run"), "--length", "5"]) == 0
