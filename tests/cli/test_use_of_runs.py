"""What the commands do with finished runs; the runs are hardly trained, so only the form of answers is tested."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled.cli.main import main

Captured = pytest.CaptureFixture[str]


def result(capsys: Captured, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
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
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return code, captured.err


def test_generate_goes_on_from_the_prompt_and_obeys_its_seed(runs: Path, capsys: Captured) -> None:
    arguments = ("generate", runs / "language", "--prompt", "the ", "--length", 30, "--seed", 4)
    first = result(capsys, *arguments)
    assert first["prompt"] == "the "
    assert 0 < len(first["text"]) <= 30
    assert text(capsys, *arguments) == f"the {first['text']}\n"
    assert result(capsys, *arguments[:-1], 5)["text"] != first["text"]


def test_letters_that_a_run_never_saw_are_named(runs: Path, capsys: Captured) -> None:
    assert main(["generate", str(runs / "language"), "--prompt", "a Ж", "--length", "3"]) == 0
    assert capsys.readouterr().err == "unknown to this run: 'Ж'\n"


def test_generate_prints_each_piece_as_it_is_made(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    flushed: list[int] = []

    class Screen(io.StringIO):
        def write(self, words: str) -> int:
            written.append(words)
            return len(words)

        def flush(self) -> None:
            flushed.append(len(written))

    monkeypatch.setattr("sys.stdout", Screen())
    assert main(["generate", str(runs / "language"), "--length", "12", "--seed", "1"]) == 0
    pieces = [words for words in written if words]
    assert len(pieces) >= 10
    assert len(set(flushed)) >= 10


def test_a_prompt_may_begin_with_a_hyphen(runs: Path, capsys: Captured) -> None:
    assert result(capsys, "generate", runs / "language", "--prompt", "-a", "--length", 3)["prompt"] == "-a"


def test_complete_lists_words_by_probability(runs: Path, capsys: Captured) -> None:
    found = result(capsys, "complete", runs / "language", "the cat sees ", "--count", 4)["completions"]
    probabilities = [row["probability"] for row in found]
    assert len(found) == 4
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1
    assert text(capsys, "complete", runs / "language", "the cat sees ", "--count", 4).count("\n") == 4


def test_score_and_evaluate_agree_on_a_file(runs: Path, files: Path, capsys: Captured) -> None:
    metrics = result(capsys, "evaluate", runs / "language", files / "story.txt")["metrics"]
    (whole,) = result(capsys, "score", runs / "language", files / "story.txt")["texts"]
    assert whole["loss"] == pytest.approx(metrics["loss"], rel=1e-6)
    assert whole["perplexity"] == pytest.approx(np.exp(whole["loss"]))
    lines = result(capsys, "score", runs / "language", files / "story.txt", "--lines")["texts"]
    assert len(lines) == 200
    assert lines[6]["row"] == 7
    assert "story.txt, row 7" in text(capsys, "score", runs / "language", files / "story.txt", "--lines")


def test_predict_gives_the_model_s_own_answers(runs: Path, files: Path, capsys: Captured) -> None:
    rows = result(capsys, "predict", runs / "classify", files / "moods.csv")["predictions"]
    model = ur.load(runs / "classify")
    texts = [row["text"] for row in rows]
    assert [row["label"] for row in rows] == list(model.predict(texts))
    for row, expected in zip(rows, model.predict_proba(texts), strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(list(expected))
    assert (rows[0]["row"], rows[0]["path"]) == (2, str(files / "moods.csv"))


def test_predict_writes_csv_json_and_text(runs: Path, files: Path, capsys: Captured) -> None:
    arguments = ("predict", runs / "classify", files / "moods.csv", "--format")
    table = list(csv.DictReader(io.StringIO(text(capsys, *arguments, "csv"))))
    rows = json.loads(text(capsys, *arguments, "json"))["predictions"]
    lines = text(capsys, *arguments, "text").splitlines()
    assert len(table) == len(rows) == len(lines) == 40
    assert table[3]["label"] == rows[3]["label"]
    assert float(table[3]["p(happy)"]) == pytest.approx(rows[3]["probabilities"]["happy"])
    assert lines[3].endswith(rows[3]["text"])
    assert lines[3].startswith(rows[3]["label"])


def test_predict_reads_standard_input_and_literal_text(
    runs: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"it is good\nit is bad\n")))
    piped = result(capsys, "predict", runs / "classify", "-")["predictions"]
    assert [row["text"] for row in piped] == ["it is good", "it is bad"]
    (literal,) = result(capsys, "predict", runs / "classify", "--literal", "it is good")["predictions"]
    assert literal["probabilities"]["sad"] == pytest.approx(piped[0]["probabilities"]["sad"], rel=1e-4)


def test_predict_gives_numbers_by_their_column(runs: Path, files: Path, capsys: Captured) -> None:
    rows = result(capsys, "predict", runs / "regress", files / "sums.csv")["predictions"]
    assert [row["sequence"] for row in rows] == list(range(1, 21))
    assert all(set(row["values"]) == {"target"} for row in rows)
    lines = text(capsys, "predict", runs / "regress", files / "sums.csv").splitlines()
    assert lines[0].startswith("target ")
    assert lines[0].endswith("sequence 1")
    assert text(capsys, "predict", runs / "regress", files / "sums.csv", "--format", "csv").startswith("path,sequence,")


def test_evaluate_shows_the_confusion_matrix(runs: Path, files: Path, capsys: Captured) -> None:
    metrics = result(capsys, "evaluate", runs / "classify", files / "moods.csv")["metrics"]
    assert set(metrics) >= {"loss", "accuracy", "macro_f1", "classes", "confusion_matrix"}
    assert sum(map(sum, metrics["confusion_matrix"])) == 40
    shown = text(capsys, "evaluate", runs / "classify", files / "moods.csv")
    first = metrics["confusion_matrix"][0]
    assert shown.splitlines()[-2].split() == ["1", "happy", *map(str, first)]
    assert result(capsys, "evaluate", runs / "regress", files / "sums.csv")["metrics"]["mse"] > 0


def test_embed_prints_or_saves_the_same_vectors(runs: Path, files: Path, tmp_path: Path, capsys: Captured) -> None:
    rows = result(capsys, "embed", runs / "classify", files / "moods.csv")["vectors"]
    saved = result(capsys, "embed", runs / "classify", files / "moods.csv", "--out", tmp_path / "v.npy")
    vectors = np.load(tmp_path / "v.npy")
    assert saved["shape"] == list(vectors.shape)
    assert np.allclose([row["vector"] for row in rows], vectors)
    assert len(text(capsys, "embed", runs / "classify", files / "moods.csv").splitlines()) == 40
    assert complaint(capsys, "embed", runs / "classify", files / "moods.csv", "--out", tmp_path / "v.npy")[0] == 1


@pytest.mark.parametrize(
    ("verb", "run", "more", "able"),
    [
        ("generate", "classify", [], "`unrolled train language`"),
        ("complete", "regress", ["x"], "`unrolled train language`"),
        ("score", "classify", ["--literal", "x"], "`unrolled train language`"),
        ("predict", "language", ["--literal", "x"], "`unrolled train classify` or `unrolled train regress`"),
        ("embed", "language", ["--literal", "x"], "`unrolled train classify` or `unrolled train regress`"),
    ],
)
def test_a_run_of_another_task_is_refused(
    verb: str, run: str, more: list[str], able: str, runs: Path, capsys: Captured
) -> None:
    code, error = complaint(capsys, verb, runs / run, *more)
    assert code == 1
    assert f"is a run of the task {run}, which cannot {verb}; give a run of {able}" in error


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["predict", "classify"], 2, "give a file (or - for standard input) or --literal TEXT"),
        (["predict", "classify", "a.txt", "--literal", "b"], 2, "one of the two"),
        (["predict", "classify", "--literal", " "], 1, "the literal text is empty"),
        (["predict", "regress", "--literal", "b"], 2, "this run reads sequences of numbers"),
        (["predict", "regress", "-"], 2, "this run reads sequences of numbers, so it needs a file or folder"),
        (["predict", "classify", "--literal", "b", "--skip-bad"], 2, "--page and --skip-bad are for captions"),
        (["predict", "classify", "nowhere.txt"], 1, "there is no such file"),
        (["predict", "nowhere", "--literal", "b"], 1, "is not a run folder"),
        (["generate", "language", "--temperature", "-1"], 1, "temperature"),
        (["generate", "language", "--length", "0"], 1, "length is 0"),
        (["complete", "language", "the", "--count", "0"], 1, "count is 0"),
        (["complete", "language", "x", "--file", "y.txt"], 2, "give the text to complete, or --file FILE"),
        (["inspect", "language", "--out", "nowhere/r.html"], 1, "nowhere/r.html cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, words: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(runs)
    found, error = complaint(capsys, *arguments)
    assert words in error
    assert found == code


def test_a_missing_column_is_named_with_those_there_are(runs: Path, files: Path, capsys: Captured) -> None:
    code, error = complaint(capsys, "predict", runs / "classify", files / "moods.csv", "--column", "txt")
    assert code == 1
    assert "'txt'" in error
    assert "'text'" in error


def test_complete_answers_for_each_line_of_a_file(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the cat\na dog sees\n", encoding="utf-8")
    found = result(capsys, "complete", runs / "language", "--file", lines, "--count", 2)["texts"]
    assert [row["row"] for row in found] == [1, 2]
    alone = result(capsys, "complete", runs / "language", "a dog sees", "--count", 2)["completions"]
    assert found[1]["completions"] == alone
    shown = text(capsys, "complete", runs / "language", "--file", lines, "--count", 2).splitlines()
    assert [line for line in shown if "%" not in line] == [f"{lines}, row 1", f"{lines}, row 2"]
    single = result(capsys, "complete", runs / "language", "the", "--single", "--count", 3)["completions"]
    assert all(len(row["word"]) == 1 for row in single)
    assert complaint(capsys, "complete", runs / "language", "x", "--file", lines)[0] == 2


@pytest.mark.parametrize("command", ["complete", "reorder"])
def test_lines_of_standard_input_are_answered(
    command: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the cat\na dog sees\n"), encoding="utf-8"))
    found = result(capsys, command, runs / "language", "--file", "-", "--count", 1)["texts"]
    assert [row["row"] for row in found] == [1, 2]


def test_reorder_lists_orders_with_their_cost(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    found = result(capsys, "reorder", runs / "language", "sees cat the a dog.", "--count", 2)["orders"]
    assert len(found) == 2
    assert found[0]["nats"] <= found[1]["nats"]
    assert all(
        row["proven"] and sorted(row["text"][:-1].split()) == sorted(["sees", "cat", "the", "a", "dog"])
        for row in found
    )
    shown = text(capsys, "reorder", runs / "language", "sees cat the a dog.", "--count", 2).splitlines()
    assert shown[0].split(maxsplit=1) == ["nats", "order (no order costs less)"]
    assert shown[1].endswith(found[0]["text"])
    assert "by a beam" in text(capsys, "reorder", runs / "language", "sees cat the", "--exact", 0)
    lines = tmp_path / "lines.txt"
    lines.write_text("cat the\nsees a dog my\n", encoding="utf-8")
    both = result(capsys, "reorder", runs / "language", "--file", lines)["texts"]
    assert [(row["row"], row["given"]) for row in both] == [(1, "cat the"), (2, "sees a dog my")]
    assert text(capsys, "reorder", runs / "language", "--file", lines).startswith(f"{lines}, row 1\n")


def test_score_ranks_lines_by_their_order(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("dog a sees cat the.\nthe cat sees a dog.\nmy sister.\n", encoding="utf-8")
    found = result(capsys, "score", runs / "language", lines, "--rank", "--shuffles", 5)["texts"]
    assert sorted(row["row"] for row in found) == [1, 2, 3]
    assert [row["gain"] for row in found] == sorted((row["gain"] for row in found), reverse=True)
    shown = text(capsys, "score", runs / "language", lines, "--rank", "--shuffles", 5).splitlines()
    assert shown[1].endswith(found[0]["text"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["reorder", "language"], 2, "give the words to put in order, or --file FILE, one of the two."),
        (["reorder", "language", "a b", "--file", "x.txt"], 2, "one of the two"),
        (["reorder", "language", " "], 1, "the literal text is empty"),
        (["reorder", "language", "a b", "--count", "0"], 1, "count=0"),
        (["reorder", "language", "--file", "nowhere.txt"], 1, "there is no such file"),
        (["reorder", "classify", "a b"], 1, "cannot reorder; give a run of `unrolled train language`"),
        (["score", "language", "--literal", "a b", "--rank", "--shuffles", "0"], 1, "shuffles is 0"),
    ],
)
def test_what_cannot_be_put_in_order_is_said(
    arguments: list[str], code: int, words: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(runs)
    found, error = complaint(capsys, *arguments)
    assert words in error
    assert found == code
