"""`unrolled train tag` and the commands on its runs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unrolled.cli.main import main

Captured = pytest.CaptureFixture[str]
SMALL = ["--hidden", "8", "--embedding", "4", "--characters", "4", "--epochs", "2", "--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """words.conll, steps.csv, and the runs words, steps (causal) and both (not causal)."""
    found = tmp_path_factory.mktemp("tag")
    (found / "words.conll").write_text("The\tD\ndog\tN\n\nIt\tP\nbarks\tV\n.\tX\n\n" * 12, encoding="utf-8")
    rng = np.random.default_rng(1)
    rows = [f"v{n // 9},{n},{x:.4f},{y:.4f},{'ab'[int(x > 0)]}" for n, (x, y) in enumerate(rng.normal(size=(90, 2)))]
    (found / "steps.csv").write_text("\n".join(["video,no,x,y,phase", *rows]) + "\n", encoding="utf-8")
    columns = ["--label", "phase", "--sequence", "video"]
    assert train(found, "words", "words.conll") == 0
    assert train(found, "steps", "steps.csv", "--causal", *columns) == 0
    assert train(found, "both", "steps.csv", *columns) == 0
    return found


def train(folder: Path, run: str, file: str, *more: str) -> int:
    return main(["train", "tag", str(folder / file), "--out", str(folder / run), *SMALL, *more])


def test_words_as_columns_and_as_literal_text(folder: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["predict", str(folder / "words"), "--literal", "The dog"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["The", "dog"]
    assert all(line.split("\t")[1] in "DNPVX" for line in lines)
    assert main(["predict", str(folder / "words"), str(folder / "words.conll")]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[:4]] == ["The", "dog", "", "It"]


def test_json_and_csv_hold_the_same(folder: Path, capsys: Captured) -> None:
    capsys.readouterr()
    arguments = ["predict", str(folder / "steps"), str(folder / "steps.csv")]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert len(found) == 90
    assert set(found[0]) == {"sequence", "row", "label", "probabilities"}
    assert found[0]["row"] == 2
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)
    assert main([*arguments, "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sequence,row,label,p(a),p(b)"
    assert [line.split(",")[2] for line in lines[1:]] == [row["label"] for row in found]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(f"v0 row 2  {found[0]['label']}  ")


def test_evaluate_shows_each_label(folder: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(folder / "steps"), str(folder / "steps.csv")]) == 0
    shown = capsys.readouterr().out
    assert "label  precision  recall      f1   count" in shown
    assert "\na  " in shown
    assert main(["evaluate", str(folder / "steps"), str(folder / "steps.csv"), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["metrics"]["per_class"]) == {"a", "b"}


def test_answers_stream_as_rows_arrive(folder: Path) -> None:
    """Each answer comes before the next row is written."""
    command = [sys.executable, "-m", "unrolled", "predict", str(folder / "steps"), "-"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"video,no,x,y\n")
        for number in range(3):
            process.stdin.write(f"v1,{number},0.5,{number}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().startswith(f"v1 row {number + 2}  ".encode())
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("run", "text", "sentence"),
    [
        ("steps", "video,x,y\nv,1,2\nv,nan,2\n", "standard input, row 3: column 'x' holds 'nan'"),
        ("steps", "video,x,y\nv,1\n", "standard input, row 2: 2 cells where the first row names 3 columns"),
        ("steps", "x,y\n1,2\n", "standard input, row 1: there is no column 'video'"),
        ("words", "The dog\nbarks\n", "standard input, row 2: 1 column(s) where 2 are needed, as on the other lines"),
        ("words", "\udcff\n", "standard input, row 1: this line is not UTF-8"),
        ("words", "", "standard input: nothing came in"),
    ],
)
def test_bad_input_is_named(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, run: str, text: str, sentence: str
) -> None:
    capsys.readouterr()
    raw = io.BytesIO(text.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
    assert main(["predict", str(folder / run), "-"]) == 1
    assert sentence in capsys.readouterr().err


def test_training_on_bad_files_leaves_no_folder(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "bad.conll").write_text("The\tD\ndog\n", encoding="utf-8")
    arguments = ["train", "tag", str(tmp_path / "bad.conll"), "--out", str(tmp_path / "run"), *SMALL]
    assert main(arguments) == 1
    assert "bad.conll, row 2: 1 column(s) where 2 are needed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_skip_bad_counts_and_lists(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    text = (folder / "steps.csv").read_text(encoding="utf-8") + "v9,90,nan,1,a\nv9,91,1\n"
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    loud = [word for word in SMALL if word != "--quiet"]
    columns = ["--label", "phase", "--sequence", "video", "--skip-bad"]
    assert main(["train", "tag", str(tmp_path / "bad.csv"), "--out", str(tmp_path / "run"), *loud, *columns]) == 0
    shown = capsys.readouterr().err
    assert "row 92: column 'x' holds 'nan'" in shown
    assert "column 'no' of bad.csv is not read: it rises in every step" in shown


def test_usage(folder: Path, capsys: Captured) -> None:
    assert main(["predict", str(folder / "steps"), "--literal", "1 2"]) == 2
    assert main(["predict", str(folder / "steps")]) == 2
    assert main(["embed", str(folder / "steps"), str(folder / "steps.csv")]) == 1
    assert "cannot embed" in capsys.readouterr().err
