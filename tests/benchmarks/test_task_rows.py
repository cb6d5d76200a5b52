"""The table of tasks: rows are found, run on made data, kept beside those run before; a row that fails says so."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    # Under its own name it would be taken for the folder tests/tasks, which pytest keeps as the module "tasks".
    spec = importlib.util.spec_from_file_location("table_of_tasks", ROOT / "benchmarks" / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Two rows, one of which reads a file, in the place of the real ones; what they will measure can be changed."""
    row = importlib.import_module("row")
    values = {"letters": 0.7, "speed": 0.2}

    def letters(work: Any) -> Any:
        assert (work.data / "some.txt").read_text(encoding="utf-8") == "abc"
        work.last = work.folder
        (work.last / "curve.png").write_bytes(b"\x89PNG")
        return row.Measured({"accuracy": values["letters"]}, {"chance": 0.5})

    def speed(work: Any) -> Any:
        cells = work.run("cells")["cells"]
        (work.pictures / "speed.png").write_bytes(b"\x89PNG")
        return row.Measured({"seconds": values["speed"], "cells": float(len(cells))}, pictures=("speed.png",))

    rows = [
        (
            "text",
            row.Row("letters", "some.txt", (row.Target("accuracy", 0.6),), letters, write, "by hand", "few of them"),
        ),
        ("clock", row.Row("speed", None, (row.Target("seconds", 0.3, most=True),), speed)),
    ]
    monkeypatch.setattr(tasks, "all_rows", lambda: rows)
    return values


def write(folder: Path) -> None:
    (folder / "some.txt").write_text("abc", encoding="utf-8")


def read(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / "tasks.json").read_text(encoding="utf-8"))
    return found


def test_rows_are_kept_beside_those_run_before(
    tasks: ModuleType, made: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data")
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "data"))
    results = tmp_path / "results"
    assert tasks.main(["speed", "--results", str(results)]) == 0
    assert tasks.main(["text", "--results", str(results)]) == 0
    found = read(results)
    assert [row[:3] for row in found["table"]["rows"]] == [
        ["letters", "accuracy 0.7", "chance 0.5"],
        ["speed", f"seconds 0.2, cells {found['rows'][1]['values']['cells']:g}", ""],
    ]
    assert [row[3] for row in found["table"]["rows"]] == ["`by hand`", "`unrolled cells`"]
    assert "Where a target was missed" not in found["remarks"]
    assert found["pictures"] == ["speed.png"]
    made["letters"] = 0.4
    assert tasks.main(["letters", "--results", str(results)]) == 1
    found = read(results)
    assert [(claim["what"], claim["value"], claim["reached"]) for claim in found["claims"]] == [
        ("letters: accuracy", 0.4, False),
        ("speed: seconds", 0.2, True),
    ]
    summary = importlib.import_module("summary")
    page = summary.section("tasks", results, tmp_path)
    assert "| letters: accuracy | 0.4 | at least 0.6 | **no** |" in page
    assert "![speed](results/speed.png)" in page
    assert "- letters: few of them" in page
    assert "![letters](results/letters.png)" in page
    assert (results / "letters.png").exists()


def test_a_quick_run_needs_no_real_data_and_misses_nothing(
    tasks: ModuleType, made: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "none"))
    made["letters"] = 0.1
    assert tasks.main(["--quick", "--results", str(tmp_path)]) == 0
    assert read(tmp_path)["quick"]


def test_a_row_without_its_data_is_named_and_the_others_run(
    tasks: ModuleType,
    made: dict[str, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path / "none"))
    assert tasks.main(["--results", str(tmp_path)]) == 1
    assert "letters: not measured: some.txt is not in" in capsys.readouterr().out
    assert [row["name"] for row in read(tmp_path)["rows"]] == ["speed"]


def test_a_trial_keeps_nothing(tasks: ModuleType, made: dict[str, float], tmp_path: Path) -> None:
    assert tasks.main(["speed", "--share", "0.1", "--results", str(tmp_path)]) == 0
    assert not (tmp_path / "tasks.json").exists()


def test_an_unknown_row_is_said(tasks: ModuleType, made: dict[str, float]) -> None:
    with pytest.raises(SystemExit, match="no row begins with 'sped'"):
        tasks.main(["sped", "--quick"])


def test_time_limits_and_failing_commands(tasks: ModuleType, tmp_path: Path) -> None:
    row, options = importlib.import_module("row"), importlib.import_module("argparse").Namespace(quick=False)
    work = row.Work(tmp_path / "data", tmp_path / "work", tmp_path, options, share=0.5)
    assert work.limit(90) == ("--max-time", "45s")
    with pytest.raises(SystemExit, match=r"`unrolled cells nothing nowhere\.txt` ended with exit code 2"):
        work.run("cells", "nothing", tmp_path / "data" / "nowhere.txt")
    options.quick = True
    assert work.limit(90) == ("--epochs", 1)


def test_rows_have_different_names_and_targets(tasks: ModuleType) -> None:
    rows = [row for _, row in tasks.all_rows()]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.targets for row in rows)
