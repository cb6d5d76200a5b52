from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from batteries.geometry import parsed, words
from unrolled.cli.main import main

OWN = """
from dataclasses import dataclass
from unrolled import Cell, state
from unrolled.cell import tanh

@dataclass(frozen=True)
class Mine(Cell):
    gates = ("a",)
    state = state(h="output")

    def update(self, x, u, s, p):
        h = s.h + tanh(x.a + u.a)
        return h, self.next(h=h)
"""


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "language", tmp_path / "run"))


def test_all_views_go_into_a_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", str(run), "--out", str(tmp_path / "new" / "pictures"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["drawings"]
    assert [row["view"] for row in rows] == ["rolled", "unrolled", "cell"]
    for row in rows:
        root = parsed(Path(row["file"]).read_text())
        assert (float(root.get("width", 0)), float(root.get("height", 0))) == (row["width"], row["height"])
    assert any("LSTM" in word for word in words(Path(rows[0]["file"]).read_text()))


def test_without_out_they_go_into_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", str(run)]) == 0
    assert "unrolled.svg: language, unrolled" in capsys.readouterr().out
    assert (run / "cell.svg").is_file()


def test_one_view_as_one_file(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep.svg"
    assert main(["draw", str(run), "--view", "unrolled", "--steps", "7", "--theme", "dark", "--out", str(file)]) == 0
    assert words(file.read_text()).count("LSTM") == 7
    assert "#14181f" in file.read_text()


def test_a_cell_of_ones_own_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "mine.py:Mine"]) == 0
    assert "cell-Mine.svg: Inside Mine" in capsys.readouterr().out
    assert "Mine" in words((tmp_path / "cell-Mine.svg").read_text())
    assert main(["draw", "gru", "--out", "gru.svg"]) == 0
    assert "GRU" in words((tmp_path / "gru.svg").read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["{run}", "--out", "{tmp}/one.svg"], 2, "is one file, but there are rolled, unrolled, cell; choose one with"),
        (["gru", "--view", "rolled"], 2, "gru is a cell, which has no rolled view; give a run, or leave --view out."),
        (["{tmp}/none"], 1, "none is no folder; give a run that `unrolled train` wrote, or the name of a cell."),
        (["gruu"], 1, "there is no cell 'gruu'"),
        (["{tmp}"], 1, "config.json"),
        (["{run}", "--steps", "40"], 1, "40 steps do not fit a picture; give 1 to 12"),
        (["gru", "--out", "{tmp}/gru.jpg"], 2, "gru.jpg names no kind of picture; end it in .svg, .png or .pdf"),
        (["{run}", "--theme", "sepia"], 2, "theme"),
        (["{run}", "--out", "{tmp}/taken/here"], 1, "cannot be made"),
    ],
)
def test_refusals(
    run: Path, tmp_path: Path, arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    filled = [argument.format(run=run, tmp=tmp_path) for argument in arguments]
    assert main(["draw", *filled]) == code
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
