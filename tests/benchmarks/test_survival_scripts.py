"""The benchmarks of long sequences, of what stops a training, and of cost: each with `--quick`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def run(name: str, results: Path) -> dict[str, Any]:
    assert importlib.import_module(name).main(["--quick", "--results", str(results)]) == 0
    found = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    assert found["quick"] and found["claims"]
    assert all(len(row) == len(found["table"]["columns"]) for row in found["table"]["rows"])
    if found["picture"]:
        assert (results / found["picture"]).read_bytes().startswith(b"\x89PNG")
    return dict(found)


def test_long(tmp_path: Path) -> None:
    found = run("long", tmp_path)
    ways = ["full", "low", "windows of 1,000", "windows of 1,000 every 250"]
    assert [row[2:4] for row in found["table"]["rows"]] == [[steps, way] for steps in (300, 1000) for way in ways]


def test_cost(tmp_path: Path) -> None:
    found = run("cost", tmp_path)
    by_name = {claim["what"].partition(",")[0]: claim["value"] for claim in found["claims"]}
    assert by_name["parameters"] == 1
    assert {row[0] for row in found["table"]["rows"]} >= {"hidden", "steps", "steps, memory low", "spread"}


def test_precision(tmp_path: Path) -> None:
    found = run("precision", tmp_path)
    assert found["claims"][1]["value"] == pytest.approx(1, abs=0.05)


def test_kills(tmp_path: Path) -> None:
    """Two kills, and the weights are those of a run that was left alone."""
    found = run("kills", tmp_path)
    assert [claim["value"] for claim in found["claims"]] == [2, 0]
    assert all(row[2] == "yes" for row in found["table"]["rows"])
