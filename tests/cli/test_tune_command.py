from __future__ import annotations

import json
from pathlib import Path

import pytest

from unrolled.cli.main import main

pytest.importorskip("optuna")


def tune(files: Path, out: Path, *more: str) -> int:
    search = "learning_rate=1e-3..3e-2:log,pooling=max|mean"
    small = ["--hidden", "4", "--embedding", "4", "--epochs", "1", "--threads", "1"]
    return main(["tune", "classify", str(files / "moods.csv"), "--out", str(out), "--search", search, *small, *more])


def test_a_line_a_trial_a_table_and_the_best(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    assert tune(files, out, "--trials", "2") == 0
    told = capsys.readouterr()
    first, parts, *trials = told.err.splitlines()
    assert first == f"study {out}: 2 trials, over learning_rate=0.001..0.03:log, pooling=max|mean"
    assert parts.startswith("36 sequences to train on")
    assert [line.split(":")[0] for line in trials[-2:]] == ["trial-000", "trial-001"]
    assert "learning_rate 0.002  pooling max; best" in trials[-2]
    lines = told.out.splitlines()
    assert lines[0].split() == ["trial", "accuracy", "learning_rate", "pooling", "time"]
    assert "2 trials: 2 complete" in lines
    assert lines[-1].startswith(f"train longer   unrolled train classify {files / 'moods.csv'} ")
    assert tune(files, out, "--trials", "2", "--quiet", "--json") == 0  # nothing is left to do
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == "" and [one["state"] for one in found["trials"]] == ["complete"] * 2
    assert f"best           {found['best']['run']} " in "\n".join(lines)
    assert Path(found["best"]["run"]).parent == out


def test_what_is_wrong_is_one_sentence(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        ([], "unrolled tune classify needs a file or a folder to train on, or --resume --out STUDY."),
        (["--resume"], "--resume needs the study to go on with; give --out STUDY."),
        ([str(files / "moods.csv"), "--hidden", "4", "--search", "hidden=2..4"], "hidden is given and also searched"),
        ([str(files / "moods.csv"), "--trials", "0"], "trials=0 would try nothing"),
    ):
        assert main(["tune", "classify", *words]) in (1, 2)
        told = capsys.readouterr()
        assert said in told.err and told.err.count("\n") == 1
