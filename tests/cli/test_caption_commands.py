"""`unrolled train caption` and what the other commands do with its runs."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from batteries.drawings import album
from unrolled.cli.main import main

pytest.importorskip("PIL")
Captured = pytest.CaptureFixture[str]
SMALL = "--size 16 --channels 8 16 --hidden 8 --embedding 4 --epochs 1 --threads 1".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return album(tmp_path_factory.mktemp("pictures"), 24)


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "caption"
    assert main(["train", "caption", str(table), "--out", str(out), "--quiet", *SMALL]) == 0
    return out


def result(capsys: Captured, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_train_says_what_it_left_out(table: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "bad.csv").write_text(table.read_text(encoding="utf-8") + "gone.png,x,1\n", encoding="utf-8")
    arguments = ["train", "caption", str(tmp_path / "bad.csv"), "--images", str(table.parent), *SMALL]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 1
    assert "bad.csv, row 26: " in capsys.readouterr().err
    assert main([*arguments, "--out", str(tmp_path / "run"), "--skip-bad"]) == 0
    error = capsys.readouterr().err
    assert "warning: 1 left out because they cannot be used:\n  " in error
    assert "22 pictures to train on, 2 to validate on (10% of the pictures held out)" in error


def test_a_picture_a_folder_and_a_table_are_captioned(run: Path, table: Path, capsys: Captured) -> None:
    (one,) = result(capsys, "predict", run, table.parent / "3.png")["predictions"]
    assert one["path"] == str(table.parent / "3.png")
    assert one["log_probability"] < 0
    folder = result(capsys, "predict", run, table.parent)["predictions"]
    rows = result(capsys, "predict", run, table)["predictions"]
    assert len(folder) == len(rows) == 24
    assert rows[3]["caption"] == one["caption"]
    capsys.readouterr()
    assert main(["predict", str(run), str(table), "--format", "csv"]) == 0
    written = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert written[3]["caption"] == one["caption"]
    assert main(["predict", str(run), str(table.parent / "3.png")]) == 0
    assert capsys.readouterr().out == f"{one['caption']}  {table.parent / '3.png'}\n"


def test_a_page_is_written(run: Path, table: Path, tmp_path: Path, capsys: Captured) -> None:
    page = tmp_path / "page.html"
    found = result(capsys, "predict", run, table.parent / "3.png", "--page", page)
    assert found["page"] == str(page)
    assert found["predictions"][0]["caption"] in page.read_text(encoding="utf-8")


def test_pictures_that_cannot_be_read_are_left_out_on_request(
    run: Path, table: Path, tmp_path: Path, capsys: Captured
) -> None:
    whole = (table.parent / "1.png").read_bytes()
    for name, data in (("a.png", b"words"), ("b.png", whole), ("c.png", whole[:200])):
        (tmp_path / name).write_bytes(data)
    capsys.readouterr()
    assert main(["predict", str(run), str(tmp_path), "--skip-bad"]) == 0
    captured = capsys.readouterr()
    assert captured.out.endswith(f"  {tmp_path / 'b.png'}\n")
    assert captured.err.startswith("warning: 2 left out because they cannot be used:\n")
    assert f"  {tmp_path / 'a.png'}: this is no picture" in captured.err
    assert len(result(capsys, "predict", run, tmp_path, "--skip-bad")["skipped"]) == 2
    (tmp_path / "b.png").unlink()
    assert main(["predict", str(run), str(tmp_path), "--skip-bad"]) == 1
    assert "none of its pictures can be read" in capsys.readouterr().err


def test_evaluate_gives_bleu_and_exact_matches(run: Path, table: Path, capsys: Captured) -> None:
    metrics = result(capsys, "evaluate", run, table)["metrics"]
    assert set(metrics) == {"loss", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "exact_match"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--literal", "x"], 2, "this run captions pictures, so it needs a picture"),
        (["-"], 2, "this run captions pictures, so it needs a picture"),
        (["gone.png"], 1, "there is no such file"),
        (["words.png"], 1, "this is no picture of a kind that can be read"),
        (["cut.png"], 1, "the picture is damaged or cut short"),
    ],
)
def test_what_cannot_be_captioned_is_said(
    run: Path, table: Path, tmp_path: Path, arguments: list[str], code: int, words: str,
    monkeypatch: pytest.MonkeyPatch, capsys: Captured,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.png").write_bytes(b"words")
    (tmp_path / "cut.png").write_bytes((table.parent / "1.png").read_bytes()[:200])
    capsys.readouterr()
    assert main(["predict", str(run), *arguments]) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_without_pillow_its_extra_is_named(
    run: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    capsys.readouterr()
    assert main(["predict", str(run), str(table.parent / "1.png")]) == 1
    assert "pip install 'unrolled[media]'" in capsys.readouterr().err
