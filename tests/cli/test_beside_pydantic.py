"""Cyclopts checks what it has parsed with pydantic where that is loaded, as it is beside a server."""

from __future__ import annotations

import pytest

from unrolled.cli.main import main
from unrolled.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_options_that_are_left_open_stay_open(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pydantic")
    assert main(["train", task, "no-such-file.csv"]) == 1, capsys.readouterr().err
    assert "there is no such file" in capsys.readouterr().err
