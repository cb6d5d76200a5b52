"""The benchmark of the server in small: real processes, SIGTERM and SIGKILL."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def test_streams_outlive_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("server")
    assert script.main(["--quick", "--results", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "server.json").read_text(encoding="utf-8"))
    missed = [claim["what"] for claim in result["claims"] if not claim["reached"]]
    assert not missed
    found = dict(result["table"]["rows"])
    assert found["streams that went on after SIGTERM"] == 5
    assert found["streams that went on after SIGKILL"] >= 4
