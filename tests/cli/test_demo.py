from __future__ import annotations

import json
from pathlib import Path

import pytest

from unrolled.cli import demo
from unrolled.cli.main import main
from unrolled.errors import DataError


def test_the_text_is_bounded_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CHARACTERS", 50)
    monkeypatch.setattr(demo, "LARGEST_MODULE", 40)
    for name, length in (("b", 30), ("a", 30), ("table", 41), ("z", 30)):
        (tmp_path / f"{name}.py").write_text(name[0] * length, encoding="utf-8")
    assert demo.source_text(tmp_path) == "a" * 30 + "b" * 20


def test_a_python_without_its_source_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the source of Python's standard library is not here"):
        demo.source_text(tmp_path)


def test_the_demo_trains_writes_and_says_where_everything_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "CHARACTERS", 8_000)
    assert main(["demo", "--max-time", "1s", "--threads", "1", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["sample"].startswith("def ")
    assert len(found["sample"]) > 300
    assert Path(found["run"], "config.json").exists()
    assert "unrolled generate runs" in captured.err
    assert len(Path(found["text"]).read_text(encoding="utf-8")) == 8_000


def test_a_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("in the way", encoding="utf-8")
    assert main(["demo", "--quiet"]) == 1
    assert "could not be written" in capsys.readouterr().err
