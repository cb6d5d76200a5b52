"""`unrolled stream`: an answer for each line as soon as it is there, and a state that goes on."""

from __future__ import annotations

import io
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.cli.main import main
from unrolled.cli.parts import parts_of
from unrolled.tasks import open_run

Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def type_in(monkeypatch: Patch, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def lines(capsys: Captured, *words: object) -> list[dict[str, Any]]:
    """The answers of a command that succeeds."""
    capsys.readouterr()
    assert main(["stream", *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def complaint(capsys: Captured, *words: object) -> str:
    capsys.readouterr()
    assert main(["stream", *map(str, words)]) in (1, 2)
    found = capsys.readouterr()
    return found.err


def test_each_line_is_answered_before_the_next_is_read(runs: Path, capsys: Captured, monkeypatch: Patch) -> None:
    answered: list[int] = []

    def typed() -> Iterator[bytes]:
        for word in (b"the cat\n", b"sees a", b" dog.\n"):
            answered.append(len(capsys.readouterr().out.splitlines()))
            yield word

    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=typed()))
    assert main(["stream", str(runs / "language"), "--next", "1"]) == 0
    assert answered == [0, 1, 1]
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["final"]
    assert len(last["next"]) == 1
    nats = open_run(runs / "language").score(["the cat\nsees a dog.\n"])[0].nats  # type: ignore[attr-defined]
    assert -last["log_probability"] == pytest.approx(nats, rel=1e-5)


def test_a_saved_state_goes_on_with_the_choices_it_was_opened_with(
    runs: Path, tmp_path: Path, capsys: Captured, monkeypatch: Patch
) -> None:
    words = (runs / "language", "--state", tmp_path / "state")
    type_in(monkeypatch, "the cat se")
    (first,) = lines(capsys, *words, "--next", "2")
    assert not first["final"]
    type_in(monkeypatch, "es a dog.\n")
    second, last = lines(capsys, *words, "--end")
    assert len(second["next"]) == 2
    assert last["final"]
    type_in(monkeypatch, "the cat sees a dog.\n")
    assert lines(capsys, runs / "language", "--next", "2")[-1]["log_probability"] == pytest.approx(
        last["log_probability"]
    )
    type_in(monkeypatch, "more")
    assert "the stream is finished, so nothing more can be read" in complaint(capsys, *words)
    (tmp_path / "state").write_bytes(b"no state")
    assert "the state of the stream is damaged" in complaint(capsys, *words)
    type_in(monkeypatch, "x")
    assert "saved by a stream of another run" in complaint_after_other_run(runs, tmp_path, capsys, monkeypatch)


def complaint_after_other_run(runs: Path, tmp_path: Path, capsys: Captured, monkeypatch: Patch) -> str:
    type_in(monkeypatch, "0.5\n")
    lines(capsys, runs / "regress", "--state", tmp_path / "numbers")
    return complaint(capsys, runs / "language", "--state", tmp_path / "numbers")


def test_what_was_read_before_a_bad_row_is_kept(
    runs: Path, tmp_path: Path, capsys: Captured, monkeypatch: Patch
) -> None:
    words = (runs / "regress", "--state", tmp_path / "state")
    type_in(monkeypatch, "0.5\n0.25\nno\n")
    assert "standard input, row 3: 'no' is no number; write one there" in complaint(capsys, *words)
    type_in(monkeypatch, "1\n")
    assert lines(capsys, *words, "--end")[-1]["steps"] == 3


def test_rows_are_cells_or_json_and_may_be_named(runs: Path, capsys: Captured, monkeypatch: Patch) -> None:
    model = open_run(runs / "regress")
    rows = np.array([[0.5], [-1.0], [2.0]], np.float32)
    ((expected,),) = model.predict([rows])  # type: ignore[attr-defined]
    for text in ("0.5\n-1\n\n2\n", "[0.5]\n[[-1], [2]]\n", '"x"\n"0.5"\n-1\n2\n'):
        type_in(monkeypatch, text)
        last = lines(capsys, runs / "regress")[-1]
        assert last["values"]["target"] == pytest.approx(expected, rel=1e-4)
        assert last["steps"] == 3
    type_in(monkeypatch, "[1, 2\n")
    assert "standard input, row 1: the line is neither JSON nor cells" in complaint(capsys, runs / "regress")
    type_in(monkeypatch, "1,2\n")
    assert "a part has the shape (1, 2), and this stream reads rows (N, 1)" in complaint(capsys, runs / "regress")


def test_one_json_object_and_refusals(runs: Path, capsys: Captured, monkeypatch: Patch, tmp_path: Path) -> None:
    type_in(monkeypatch, "a dog\n")
    (found,) = lines(capsys, runs / "language", "--json")
    assert [answer["final"] for answer in found["answers"]] == [False, True]
    assert "this run reads in both directions, so it needs the whole input" in complaint(capsys, runs / "classify")
    assert "'beam' is no choice of this stream, which has: next" in complaint(capsys, runs / "language", "--beam", "3")
    assert "there is no such file" in complaint(capsys, runs / "language", tmp_path / "gone.txt")


@pytest.mark.parametrize(
    ("task", "layout", "text", "wanted"),
    [
        ("tag", {"kind": "numbers", "features": ("b", "a"), "clock": None}, "a,x,b\n1,7,2\n3,8,\n",
         [[[2, 1]], [[None, 3]]]),
        ("tag", {"kind": "numbers", "features": ("a",), "clock": "t"}, "a,t\n5,2024-01-01 00:00\n", [[5, 0, 1, 0]]),
    ],
)  # fmt: skip
def test_columns_are_found_by_their_names(
    task: str, layout: dict[str, Any], text: str, wanted: list[Any], monkeypatch: Patch
) -> None:
    model = types.SimpleNamespace(task=task, vocabulary=None, layout=types.SimpleNamespace(**layout))
    type_in(monkeypatch, text)
    assert [np.asarray(part).tolist() if np.ndim(part) == 1 else part for part in parts_of(model, "-")] == wanted


def test_what_a_forecaster_needs_ahead_is_in_a_table_or_beside_the_rows(
    tmp_path: Path, capsys: Captured, monkeypatch: Patch
) -> None:
    rows = [f"{k % 5},{int(k % 3 == 0)}" for k in range(60)]
    data, plan, run = tmp_path / "sold.csv", tmp_path / "plan.csv", tmp_path / "run"
    data.write_text("\n".join(["sold,promo", *rows]) + "\n")
    plan.write_text("promo\n" + "".join(f"{int(k % 3 == 0)}\n" for k in range(62)))
    words = ("--target", "sold", "--known", "promo", "--horizon", "2", "--context", "8", "--hidden", "4")
    assert main(["train", "forecast", str(data), "--out", str(run), *words, "--epochs", "1", "--quiet"]) == 0
    by_plan = lines(capsys, run, data, "--ahead", plan)
    assert by_plan[-1]["steps"] == 60 and len(by_plan) == 61
    future = tmp_path / "future.csv"
    future.write_text(data.read_text() + ",1\n,0\n")
    assert lines(capsys, run, future) == by_plan
    type_in(monkeypatch, json.dumps({"rows": [json.loads(f"[{row}]") for row in rows], "ahead": [[1], [0]]}))
    assert lines(capsys, run)[-1]["forecast"] == by_plan[-1]["forecast"]
    assert "this run needs promo of the 2 steps after a part, and 1 are known; give" in complaint(capsys, run, data)
    plan.write_text("promo\n1\nmany\n")
    assert "plan.csv, row 3: column 'promo' holds 'many'" in complaint(capsys, run, data, "--ahead", plan)


def test_a_sound_comes_in_quarters_of_a_second(tmp_path: Path, monkeypatch: Patch) -> None:
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    samples = (1000 * np.sin(np.arange(5000))).astype("<i2")
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="PCM_16")
    model = types.SimpleNamespace(task="classify", reading=types.SimpleNamespace(kind="sound", rate=8000))
    type_in(monkeypatch, samples.tobytes())
    for source in (str(tmp_path / "a.wav"), "-"):
        parts = list(parts_of(model, source))
        assert [len(part) for part in parts] == [2000, 2000, 1000]
        np.testing.assert_allclose(np.concatenate(parts), samples / 32768, atol=1e-6)
