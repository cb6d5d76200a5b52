"""`unrolled transcribe` and what the other commands do with a run of that task."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.pens import texts, written
from unrolled.cli.main import main

Captured = pytest.CaptureFixture[str]
SMALL = ("--hidden", "8", "--layers", "1", "--epochs", "1", "--threads", "1", "--quiet")


def sound(path: Path, text: str, seed: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(seed)
    pieces = [0.2 * np.sin(2 * np.pi * 300 * (1 + "abc ".index(c)) * np.arange(1200) / 8000) for c in text]
    soundfile.write(path, np.concatenate(pieces) + 0.01 * rng.normal(size=1200 * len(text)), 8000, subtype="PCM_16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clips.csv (sound), pens.jsonl, and the runs sound (in one direction), pens and language, hardly trained."""
    found = tmp_path_factory.mktemp("transcribe")
    rng = np.random.default_rng(0)
    said = texts(rng, 12)
    rows = [{"strokes": written(text, rng), "text": text} for text in said]
    (found / "pens.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for place, text in enumerate(said):
        sound(found / f"{place}.wav", text, place)
    (found / "clips.csv").write_text("file,text\n" + "".join(f"{k}.wav,{text}\n" for k, text in enumerate(said)))
    (found / "told.txt").write_text("\n".join(said * 20) + "\n")
    run("train", "transcribe", found / "clips.csv", "--out", found / "sound", "--causal", *SMALL)
    run("train", "transcribe", found / "pens.jsonl", "--out", found / "pens", *SMALL)
    run("train", "language", found / "told.txt", "--out", found / "language", "--embedding", "4", *SMALL)
    return found


def run(*words: object) -> None:
    assert main([*map(str, words)]) == 0


def result(capsys: Captured, *words: object) -> dict[str, Any]:
    capsys.readouterr()
    run(*words, "--json", "--quiet")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def complaint(capsys: Captured, *words: object) -> str:
    capsys.readouterr()
    assert main([*map(str, words)]) != 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_a_table_with_texts_is_also_measured(folder: Path, capsys: Captured) -> None:
    for run_name, data in (("pens", "pens.jsonl"), ("sound", "clips.csv")):
        found = result(capsys, "transcribe", folder / run_name, folder / data)
        assert len(found["predictions"]) == 12
        assert found["metrics"].keys() == {"character_error_rate", "word_error_rate"}
        predicted = result(capsys, "predict", folder / run_name, folder / data)
        assert predicted["predictions"] == found["predictions"]
        evaluated = result(capsys, "evaluate", folder / run_name, folder / data)
        assert evaluated["metrics"]["character_error_rate"] == found["metrics"]["character_error_rate"]


def test_a_beam_with_a_language_model_says_what_the_model_knows(folder: Path, capsys: Captured) -> None:
    words = ("transcribe", folder / "pens", folder / "pens.jsonl", "--language", folder / "language")
    heavy = result(capsys, *words, "--weight", "2", "--bonus", "3", "--beam", "5")
    alone = result(capsys, "transcribe", folder / "pens", folder / "pens.jsonl", "--beam", "5")
    assert [row["text"] for row in heavy["predictions"]] != [row["text"] for row in alone["predictions"]]
    assert all(row["text"] for row in heavy["predictions"])
    assert "cannot help a transcription" in complaint(capsys, *words[:-1], folder / "pens")


def test_times_of_symbols(folder: Path, capsys: Captured) -> None:
    words = ("transcribe", folder / "sound", folder / "0.wav", "--align", "--beam", "3", "--bonus", "6")
    (row,) = result(capsys, *words)["predictions"]
    assert "".join(symbol["symbol"] for symbol in row["symbols"]) == row["text"] != ""
    times = [edge for symbol in row["symbols"] for edge in (symbol["start"], symbol["end"])]
    assert times == sorted(times)
    capsys.readouterr()
    run(*words)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder / '0.wav'}: {row['text']}"
    assert len(lines) == 1 + len(row["text"])


def test_a_stream_is_written_down_as_it_comes(folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = result(capsys, "transcribe", folder / "sound", folder / "1.wav", "--beam", "2", "--bonus", "5")
    text = whole["predictions"][0]["text"]
    words = ("transcribe", folder / "sound", "--beam", "2", "--bonus", "5")
    seen = result(capsys, *words, folder / "1.wav", "--stream")
    assert seen["text"] == text
    assert len(seen["parts"]) >= 1
    raw = (folder / "1.wav").read_bytes()[44:]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    piped = result(capsys, *words, "-")
    assert piped == seen
    capsys.readouterr()
    run(*words, folder / "1.wav", "--stream")
    assert capsys.readouterr().out.splitlines()[-1] == f"     end  {text}"


def test_a_clip_of_minutes_is_written_down_whole_and_as_a_stream(
    folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    sound(tmp_path / "long.wav", "".join(np.random.default_rng(3).choice(list("abc "), size=1000)), 3)
    words = ("transcribe", folder / "sound", tmp_path / "long.wav", "--beam", "2", "--bonus", "4")
    (whole,) = result(capsys, *words)["predictions"]
    seen = result(capsys, *words, "--stream")
    assert seen["text"] == whole["text"] != ""
    assert seen["parts"][-1]["time"] > 140


def write_line(path: Path, text: str, rng: np.random.Generator) -> None:
    """One line of text in the format that the name asks for."""
    strokes = written(text, rng)
    if path.suffix == ".xml":
        points = ["".join(f'<Point x="{x}" y="{y}" time="0"/>' for x, y in stroke) for stroke in strokes]
        inside = "".join(f"<Stroke>{stroke}</Stroke>" for stroke in points)
        path.write_text(f"<WhiteboardCaptureSession><StrokeSet>{inside}</StrokeSet></WhiteboardCaptureSession>")
    elif path.suffix == ".inkml":
        traces = [", ".join(f"{x} {y}" for x, y in stroke) for stroke in strokes]
        path.write_text(f"<ink>{''.join(f'<trace>{trace}</trace>' for trace in traces)}</ink>")
    elif path.suffix == ".npy":
        np.save(path, np.concatenate(strokes))
    else:
        image = pytest.importorskip("PIL.Image")
        image.fromarray(rng.integers(0, 256, size=(20, 30 * len(text))).astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("suffix", "told"),
    [
        (".xml", "strokes: 7 features a step"),
        (".inkml", "strokes: 7 features a step"),
        (".png", "image: 32 features a step"),
        (".npy", "features: 2 features a step"),
    ],
)
def test_every_kind_of_file_goes_from_a_table_to_a_text(
    suffix: str, told: str, tmp_path: Path, capsys: Captured
) -> None:
    rng = np.random.default_rng(2)
    said = texts(rng, 8)
    for place, text in enumerate(said):
        write_line(tmp_path / f"{place}{suffix}", text, rng)
    (tmp_path / "lines.csv").write_text("file,text\n" + "".join(f"{k}{suffix},{t}\n" for k, t in enumerate(said)))
    run("train", "transcribe", tmp_path / "lines.csv", "--out", tmp_path / "run", "--causal", *SMALL[:-1])
    assert told in capsys.readouterr().err
    words = ("transcribe", tmp_path / "run", tmp_path / f"3{suffix}", "--beam", "2", "--bonus", "4")
    (whole,) = result(capsys, *words)["predictions"]
    assert result(capsys, *words, "--stream")["text"] == whole["text"] != ""
    (tmp_path / f"3{suffix}").write_bytes(b"")
    assert f"lines.csv, row 5: {tmp_path / f'3{suffix}'}" in complaint(
        capsys, "train", "transcribe", tmp_path / "lines.csv", "--out", tmp_path / "other", *SMALL
    )


def test_strokes_from_standard_input(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("train", "transcribe", folder / "pens.jsonl", "--out", tmp_path / "run", "--causal", *SMALL)
    row = json.loads((folder / "pens.jsonl").read_text().splitlines()[0])
    (tmp_path / "one.jsonl").write_text(json.dumps(row))
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(json.dumps(stroke) + "\n" for stroke in row["strokes"])))
    words = ("transcribe", tmp_path / "run", "--beam", "2", "--bonus", "5")
    piped = result(capsys, *words, "-")
    assert piped == result(capsys, *words, tmp_path / "one.jsonl", "--stream")
    assert piped["text"] == result(capsys, *words, tmp_path / "one.jsonl")["predictions"][0]["text"] != ""
    monkeypatch.setattr("sys.stdin", io.StringIO("[[1, 2]]\nno\n"))
    assert "standard input, row 2: the line is not JSON" in complaint(capsys, *words, "-")
    assert "holds 12 samples, and a stream is one" in complaint(capsys, *words, folder / "pens.jsonl", "--stream")


def test_predictions_as_csv(folder: Path, capsys: Captured) -> None:
    capsys.readouterr()
    run("predict", folder / "pens", folder / "pens.jsonl", "--format", "csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "path,row,text"
    assert len(lines) == 13


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pens", "pens.jsonl", "--stream"), "this run reads in both directions"),
        (("sound", "0.wav", "--stream", "--align"), "--align needs the whole input"),
        (("sound", "gone.wav"), "gone.wav: there is no such file"),
        (("sound", "pens.jsonl"), "pens.jsonl, row 1: the row holds points, and sound is needed"),
        (("pens", "0.wav"), "this is a file of sound, and strokes is needed"),
        (("pens", "pens.jsonl", "--beam", "0"), "the beam is 0 wide"),
        (("language", "told.txt"), "is a run of the task language, which cannot transcribe"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    folder: Path, capsys: Captured, words: tuple[str, ...], sentence: str
) -> None:
    files = [folder / word if not word.startswith("-") and word != "0" else word for word in words]
    assert sentence in complaint(capsys, "transcribe", *files)


def test_bad_rows_stop_training_or_are_listed(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = (folder / "pens.jsonl").read_text().splitlines()
    lines[3] = json.dumps({"strokes": [[[0, 0], [1, 1]]], "text": "abcabc"})
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    words = ("train", "transcribe", tmp_path / "bad.jsonl", "--out", tmp_path / "run", *SMALL)
    assert "bad.jsonl, row 4: the input has 2 steps and its text needs 6" in complaint(capsys, *words)
    capsys.readouterr()
    run(*words[:-1], "--skip-bad")
    told = capsys.readouterr().err
    assert "warning: 1 left out because they cannot be used:" in told
    assert " symbols/s" in told
