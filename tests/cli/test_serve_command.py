"""`unrolled serve` as a user starts it."""

from __future__ import annotations

import builtins
import http.client
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unrolled.cli.main import main


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--host", "0.0.0.0"], 1, "give keys with --keys FILE or UNROLLED_KEYS"),
        (["--max-steps", "0"], 1, "max_steps=0 must be more than 0"),
        (["--save-every", "0"], 2, "--save-every is 0; give a number of seconds above 0"),
        (["--keys", "none"], 1, "the keys cannot be read"),
        (["--port", "99999"], 1, "port 99999 cannot be used"),
    ],
)
def test_what_cannot_be_served_so(
    runs: Path, options: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(runs / "classify"), *options]) == code
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_library_that_is_missing_is_named(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "fastapi":
            raise ImportError("no", name="fastapi")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["serve", str(runs / "classify")]) == 1
    assert "serving needs fastapi" in capsys.readouterr().err


def test_it_says_where_answers_and_saves_when_it_is_ended(runs: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    command = [sys.executable, "-m", "unrolled", "serve", str(runs / "classify"), f"story={runs / 'language'}",
               "--port", "0", "--json", "--save", str(saved)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        told = json.loads(process.stdout.readline())
        assert told["models"] == ["classify", "story"]
        address = told["address"].removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("POST", "/models/story/sessions")
        name = json.loads(connection.getresponse().read())["session"]
        connection.close()
        os.kill(process.pid, signal.SIGTERM)
        log = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert [line["event"] for line in log] == ["listening", "request", "stopping", "stopped"]
    assert [path.stem for path in saved.iterdir()] == [name]
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
