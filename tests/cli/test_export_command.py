from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from unrolled.cli.main import main
from unrolled.errors import EngineError


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "language", tmp_path / "run"))


def test_what_was_written_and_proved_is_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--to", "onnx"]) == 0
    told = capsys.readouterr()
    first, second, third = told.out.splitlines()
    assert first.startswith(f"{run / 'onnx' / 'model.onnx'}: ")
    assert " kB, operator set 18, LSTM; same answers as ours for inputs of 2 x 9, 1 x 1, 5 x 14 (largest diff" in first
    assert "step.onnx" in second and "manifest.json: how inputs are made and outputs read" in third
    assert told.err.splitlines() == [
        "1 of 2: model.onnx is written and tried",
        "2 of 2: step.onnx is written and tried",
    ]
    assert sorted(path.name for path in (run / "onnx").iterdir()) == [
        "manifest.json",
        "model.onnx",
        "step.onnx",
        "vocabulary.json",
    ]
    assert main(["export", str(run), "--quiet"]) == 0  # an earlier export is replaced
    assert capsys.readouterr().err == ""


def test_json_names_every_file_and_difference(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(runs / "classify"), "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["to"], found["task"], found["accuracy"]) == ("onnx", "classify", None)
    (file,) = found["files"]
    assert file["file"] == str(tmp_path / "out" / "model.onnx")
    assert set(file["largest_differences"]) == {"vector", "logits", "probabilities"}
    assert max(file["largest_differences"].values()) < 1e-5
    assert found["remarks"] == ["there is no step.onnx, because the network reads in both directions"]


def test_int8_beside_float32(run: Path, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--int8", "--data", str(files / "story.txt"), "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index(f"on {files / 'story.txt'}:") + 1 :]
    assert table[0].split() == ["float32", "int8"]
    assert [line.split()[0] for line in table[1:]] == ["loss", "perplexity", "bits_per_character", "size"]
    assert json.loads((run / "onnx" / "manifest.json").read_text())["weights"] == "int8"


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        (["--data", "x.txt"], 2, "--data measures what int8 weights cost, and the weights stay float32; add --int8."),
        (["--to", "pickle"], 2, 'Invalid value "pickle" for --to.'),
        (["--int8", "--data", "missing.txt"], 1, "missing.txt: there is no such file to measure on"),
        (["--to", "bfloat16", "--data", "missing.txt"], 1, "missing.txt: there is no such file to measure on"),
    ],
)
def test_refusals(run: Path, more: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), *more]) == code
    assert sentence in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("[1]")
    assert main(["export", str(run), "--out", str(tmp_path / "out")]) == 1
    assert "holds something else than an export; choose another --out." in capsys.readouterr().err


def test_without_the_libraries_nothing_is_written(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise EngineError(f"no {name}")

    monkeypatch.setattr("unrolled.export.to_onnx.library", missing)
    assert main(["export", str(run)]) == 1
    assert capsys.readouterr().err == "unrolled: no onnx.\n"
    assert not (run / "onnx").exists()
