from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.bench import suite
from unrolled.bench.cold import Cold
from unrolled.bench.problem import Shape
from unrolled.bench.ragged import ragged
from unrolled.cli.main import main

QUICKLY = ["--shapes", "5x2x3x7", "--seconds", "0.01"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without processes of their own, C++ and the larger shapes; in an empty folder."""
    monkeypatch.setattr(suite, "cold", lambda name: Cold(name, 1.5, 0.05))
    monkeypatch.setattr(suite, "EVERYBODY", ("compiled", "torch.nn", "reference", "onnxruntime"))
    monkeypatch.setattr(suite, "fma_limit", lambda threads: 1e11 * threads)
    monkeypatch.setattr(suite, "TURN", 0.0)

    def small_ragged(*given: Any, phases: tuple[str, ...]) -> Any:
        return ragged(*given, shapes=(Shape(5, 3, 2, 8),), phases=phases)

    monkeypatch.setattr(suite, "ragged", small_ragged)
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    assert main(["bench", *QUICKLY, *words]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_table_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "--cell", "lstm", "mgu", "--picture", "speeds.png")
    for title in (
        "lstm forward  T=5 B=2 F=3 H=7",
        "mgu training",
        "T=5 B=3 F=2 H=8, ragged",
        "lstm, one step",
        "geometric mean",
    ):
        assert title in out
    assert out.count("ours, compiled") == 4 + 2 + 1
    _, _, reasons = out.partition("not timed\n")
    assert "torch.nn       it has no layer with the equations of MinimalGated\n" in reasons
    assert "100 GFLOP/s" in err
    assert "picture  speeds.png" in err or "matplotlib is not installed" in err


def test_the_same_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, err = run(capsys, "--cell", "gru", "--only", "training", "--json", "--quiet", "--busy")
    assert err == ""
    found = json.loads(out)
    (row,) = found["rows"]
    assert (row["cell"], row["phase"], row["shape"]["hidden"]) == ("gru", "training", 7)
    for name in ("compiled", "torch.nn", "reference"):
        times = row["times"][name]
        assert 0 < times["least"] <= times["median"]
        assert times["runs"] >= 1
        assert row["ratio"][name] == pytest.approx(times["least"] / row["times"]["compiled"]["least"])
        assert row["share_of_limit"][name] == pytest.approx(row["flops"] / times["least"] / found["limit"])
    assert row["difference"] < 1e-4
    assert "onnxruntime" in row["absent"]
    assert [r["phase"] for r in found["ragged"]] == ["training"]
    assert found["ragged"][0]["share"]["compiled"] > 0
    assert found["step"][0]["times"]["compiled"]["least"] > 0
    assert found["cold"] == [{"cell": "gru", "compiled": 1.5, "loaded": 0.05}]
    assert found["busy"][0]["slower"]["torch.nn"] > 0
    assert (found["picture"] == "bench.png") == (tmp_path / "bench.png").exists()
    assert found["versions"]["torch"] == torch.__version__


def test_threads_are_those_asked_for_and_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    out, _ = run(capsys, "--cell", "rnn", "--only", "forward", "--threads", "2", "--json")
    assert json.loads(out)["threads"] == 2
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--threads", "0"], "--threads is 0, but at least 1 is needed."),
        (["--seconds", "-1"], "--seconds is -1, but a time above 0 is needed."),
        (["--shapes", "5x5"], "'5x5' is no shape: write steps x rows x inputs x units as four numbers"),
        (["--picture", "no/where.png"], "is in a folder that is not there"),
        (["--only", "backward"], "backward"),
    ],
)
def test_a_command_line_at_fault(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_an_unknown_cell_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--cell", "grru"]) == 1
    assert "did you mean 'gru'" in capsys.readouterr().err


def test_what_is_run_by_default_and_in_full() -> None:
    assert set(suite.SHAPES) < set(suite.FULL)
    assert suite.pace(0.5, patient=False).patience < suite.pace(3.0, patient=True).patience
