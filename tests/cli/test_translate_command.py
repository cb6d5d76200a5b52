from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unrolled.cli.main import main

Captured = pytest.CaptureFixture[str]
SMALL = ["--hidden", "8", "--embedding", "4", "--units", "word", "--epochs", "2", "--threads", "1"]
ROWS = [(f"{'ab'[i % 2]} veo", f"i see {'xyz'[i % 3]}") for i in range(30)]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translate")
    rng = random.Random(2)
    rows = rng.sample(ROWS, len(ROWS))
    data = write(folder / "pairs.tsv", ["es\ten", *("\t".join(row) for row in rows)])
    assert main(["train", "translate", str(data), "--out", str(folder / "run"), *SMALL, "--quiet"]) == 0
    return folder / "run"


def result(capsys: Captured, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.count("\n") == 1
    found: dict[str, Any] = json.loads(captured.out)
    return found


def text(capsys: Captured, *arguments: object) -> str:
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def complaint(capsys: Captured, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return code, captured.err


def test_each_line_of_standard_input_is_answered_before_the_next(run: Path) -> None:
    command = [sys.executable, "-m", "unrolled", "predict", str(run), "-"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in (b"a veo\n", b"\n", b"b veo b\n"):
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer.endswith(b"\n") and (answer == b"\n") == (line == b"\n")
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_lines_as_json_at_the_end(run: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"a veo\n\nb veo\n")
    rows = result(capsys, "translate", run, "-")["translations"]
    assert [(row["row"], row["text"]) for row in rows] == [(1, "a veo"), (2, ""), (3, "b veo")]
    assert rows[1]["translation"] == "" and rows[0]["translation"]


def test_a_typed_line_that_is_not_utf8(run: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"a veo\nb\xff\n")
    assert main(["predict", str(run), "-"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert captured.err.startswith("unrolled: standard input, row 2: byte 0xff at byte 2 of this line is not UTF-8")


def test_a_file_a_table_and_a_literal_say_the_same(run: Path, tmp_path: Path, capsys: Captured) -> None:
    write(tmp_path / "in.txt", ["a veo", "b veo"])
    write(tmp_path / "in.csv", ["n,es", "1,a veo", "2,b veo"])
    write(tmp_path / "in.tsv", ["es\ten\tnote", 'a veo\t\t"', "b veo"])
    plain = text(capsys, "predict", run, tmp_path / "in.txt")
    assert plain.count("\n") == 2
    assert text(capsys, "predict", run, tmp_path / "in.csv", "--column", "es") == plain
    assert text(capsys, "translate", run, tmp_path / "in.tsv") == plain
    assert text(capsys, "translate", run, "--literal", "a veo") == plain.splitlines()[0] + "\n"
    rows = list(csv.DictReader(io.StringIO(text(capsys, "predict", run, tmp_path / "in.txt", "--format", "csv"))))
    assert [row["translation"] for row in rows] == plain.splitlines()
    assert [row["row"] for row in result(capsys, "predict", run, tmp_path / "in.tsv")["translations"]] == [2, 3]


def test_the_best_few_with_their_scores_and_where_they_looked(run: Path, capsys: Captured) -> None:
    asked = ("translate", run, "--literal", "a veo", "--best", 3, "--length-penalty", 0, "--attention")
    (row,) = result(capsys, *asked)["translations"]
    assert len(row["translations"]) == 3 and row["translations"][0]["translation"] == row["translation"]
    assert all(one["score"] == one["log_probability"] for one in row["translations"])
    assert len(row["attention"]) == len(row["pieces"]) and row["source"] == ["a", "veo", "</s>"]
    lines = text(capsys, *asked).splitlines()
    assert lines[0] == "a veo" and len(lines) == 4


def test_picture_of_one_translation(run: Path, tmp_path: Path, capsys: Captured) -> None:
    picture = tmp_path / "look.png"
    found = result(capsys, "translate", run, "--literal", "$a veo_{", "--picture", picture)
    assert found["picture"] == str(picture) and picture.read_bytes().startswith(b"\x89PNG")
    code, sentence = complaint(capsys, "translate", run, "--literal", "a", "--picture", picture)
    assert code == 1 and "is there already; choose another --picture." in sentence
    write(tmp_path / "in.txt", ["a veo", "b veo"])
    code, sentence = complaint(capsys, "translate", run, tmp_path / "in.txt", "--picture", tmp_path / "b.png")
    assert code == 2 and "--picture draws one translation, and there are 2; give one with --literal TEXT." in sentence


def test_picture_without_matplotlib(
    run: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrolled.tasks.attention_picture.find_spec", lambda name: None)
    code, sentence = complaint(capsys, "translate", run, "--literal", "a", "--picture", tmp_path / "b.png")
    assert code == 1 and "pip install 'unrolled[plot]'" in sentence and not (tmp_path / "b.png").exists()


def test_evaluate_names_every_metric(run: Path, tmp_path: Path, capsys: Captured) -> None:
    data = write(tmp_path / "test.tsv", ["es\ten", *("\t".join(row) for row in ROWS[:6])])
    metrics = result(capsys, "evaluate", run, data)["metrics"]
    assert set(metrics) == {"loss", "perplexity", "accuracy", "bleu", "chrf"}


BAD = {
    "no tab": ("solo", "row 3: the line has no tab"),
    "empty side": ("veo\t ", "row 3: the translation of the pair is empty"),
    "far longer": ("sí\t" + "i see " * 50, "row 3: one side has 299 characters and the other 2"),
    "undecodable": ("a\udcf1o\tyear", "row 3: byte 0xf1 at byte 2 of this line is not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pairs_stop_or_are_skipped_counted_and_listed(kind: str, tmp_path: Path, capsys: Captured) -> None:
    line, sentence = BAD[kind]
    rows = ["es\ten", "a veo\ti see x", line, *("\t".join(row) for row in ROWS[:12])]
    (tmp_path / "in.tsv").write_bytes(("\n".join(rows) + "\n").encode("utf-8", "surrogateescape"))
    train = ["train", "translate", tmp_path / "in.tsv", "--out", tmp_path / "run", *SMALL]
    code, found = complaint(capsys, *train)
    assert code == 1 and f"in.tsv, {sentence}" in found
    assert not (tmp_path / "run").exists()
    assert main([*map(str, train), "--skip-bad"]) == 0
    said = capsys.readouterr().err
    assert sentence in said and "13 pairs" not in said


def test_errors_of_use(run: Path, tmp_path: Path, capsys: Captured) -> None:
    code, sentence = complaint(capsys, "translate", run)
    assert code == 2 and "give a file (or - for standard input) or --literal TEXT" in sentence
    code, sentence = complaint(capsys, "translate", run, "--literal", "a", "--best", 3, "--beam", 2)
    assert code == 1 and "beam width 2 with the 3 best asked for" in sentence
    code, sentence = complaint(capsys, "generate", run)
    assert code == 1 and "a run of the task translate, which cannot generate" in sentence
    write(tmp_path / "in.tsv", ["fr\ten", "je vois\ti see"])
    code, sentence = complaint(capsys, "translate", run, tmp_path / "in.tsv", "--column", "es")
    assert code == 1 and "there is no column 'es'; the columns are 'fr', 'en'" in sentence
    write(tmp_path / "in.tsv", ["es\ten", "\ti see"])
    code, sentence = complaint(capsys, "translate", run, tmp_path / "in.tsv")
    assert code == 1 and "in.tsv, row 2: the text is empty" in sentence
