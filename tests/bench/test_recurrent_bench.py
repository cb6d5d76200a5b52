from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from unrolled.bench import recurrent
from unrolled.bench.recurrent import Shape, compare
from unrolled.bench.timing import Times
from unrolled.cells import by_name
from unrolled.cli.main import main
from unrolled.errors import EngineError

TINY = (Shape(steps=5, batch=3, input=4, hidden=7),)


def test_every_cell_is_timed_forward_and_in_training() -> None:
    rows = list(compare(TINY, rounds=2))
    assert [(row.cell, row.phase) for row in rows] == [
        (cell, phase) for cell in ("lstm", "gru", "rnn") for phase in ("forward", "training")
    ]
    for row in rows:
        assert 0 <= row.difference < recurrent.TOLERANCE
        assert set(row.times) == {"torch.nn", "compiled", "native", "reference"}


def test_a_cell_that_torch_has_not_is_timed_beside_the_reference() -> None:
    rows = list(compare(TINY, rounds=2, cells={"mgu": by_name("mgu")}))
    assert [list(row.times) for row in rows] == [["reference", "compiled"]] * 2
    assert all(0 <= row.difference < recurrent.TOLERANCE for row in rows)


def test_ratio_and_speed() -> None:
    row = next(compare(TINY, rounds=2))
    # Four gates, each a product with the input and one with the state; a multiplication and an addition count as two.
    assert row.flops == 2 * 5 * 3 * 4 * 7 * (4 + 7)
    times = {"torch.nn": Times((0.5, 0.4)), "compiled": Times((0.1, 0.2))}
    row = replace(row, times=times, flops=1000)
    assert row.ratio("torch.nn") == 1
    assert row.ratio("compiled") == pytest.approx(4)
    assert row.speed("compiled") == pytest.approx(1e4)


def test_what_is_not_equal_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = recurrent.scan

    def wrong(*arguments: object, engine: str = "auto") -> tuple[torch.Tensor, object]:
        outputs, state = right(*arguments, engine=engine)  # type: ignore[arg-type]
        return (outputs * 1.01 if engine == "native" else outputs), state

    monkeypatch.setattr(recurrent, "scan", wrong)
    monkeypatch.setattr(recurrent, "interleave", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(EngineError, match="lstm at T=5 B=3 F=4 H=7, forward: the engines differ by"):
        list(compare(TINY))


def test_the_command_prints_a_table_or_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recurrent.compare, "__defaults__", (TINY, 1))
    assert main(["bench", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[1].startswith("lstm  T=5 B=3 F=4 H=7")
    assert main(["bench", "--rounds", "1", "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = json.loads(captured.out)["rows"]
    assert len(rows) == 6
    assert rows[0]["least"]["native"] > 0


def test_no_rounds_at_all_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
