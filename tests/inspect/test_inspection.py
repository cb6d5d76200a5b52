"""Whole runs looked at from inside, by the command and from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrolled as ur
from unrolled.cli.main import main
from unrolled.errors import ArgumentError, RunError
from unrolled.inspect import comparison, depth_of, integrated_gradients, look_inside, read_one, subject_of, summary
from unrolled.inspect.inspection import open_inside
from unrolled.tasks import TASKS, Common
from unrolled.tasks.estimators.forecaster import _histories
from unrolled.tasks.estimators.transcriber import _samples

SMALL: dict[str, Any] = {"hidden": 8, "embedding": 4, "batch_size": 8}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs hardly trained: two language models, a classifier, a regressor, a tagger."""
    folder = tmp_path_factory.mktemp("inside")
    rng = np.random.default_rng(7)
    text = "".join(rng.choice(list('ab "(.)\n'), 3000, p=[0.3, 0.25, 0.2, 0.1, 0.04, 0.03, 0.04, 0.04]))
    (folder / "story.txt").write_text(text, encoding="utf-8")
    words = [list(rng.choice(["red", "Blue", "grey"], rng.integers(3, 7))) for _ in range(50)]
    rows = [f"{' '.join(row)},{'warm' if 'red' in row else 'cold'}" for row in words]
    (folder / "moods.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    tagged = "\n\n".join("\n".join(f"{word}\t{word[0]}" for word in row) for row in words)
    (folder / "words.conll").write_text(tagged, encoding="utf-8")
    numbers = [f"{k},{a:.3f},{k % 5}" for k in range(24) for a in rng.normal(size=9)]
    (folder / "sums.csv").write_text("id,x,y\n" + "\n".join(numbers), encoding="utf-8")
    train(folder, "language", "story.txt", "a", window=16, cell="gru", layers=2)
    train(folder, "language", "story.txt", "b", window=16, cell="rnn")
    train(folder, "classify", "moods.csv", "classify", pooling="attention")
    train(folder, "tag", "words.conll", "tag")
    train(folder, "regress", "sums.csv", "regress", sequence="id", target=("y",), embedding=1)
    return folder


def train(folder: Path, task: str, data: str, out: str, **options: Any) -> None:
    wanted = TASKS[task].options(**{**SMALL, **options})
    TASKS[task].train(wanted, Common(data=folder / data, out=folder / out, epochs=1, threads=1))


def test_a_language_model_in_the_terminal(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(runs / "a"), "--quiet"]) == 0
    text = capsys.readouterr().out
    for part in ("language, GRU 2 x 8", "Gradient through time", "Jacobian of a step", "Memory horizon",
                 "layer 2", "by perturbation, ", "Which unit follows what", "inside quotes", "integrated gradients",
                 "occlusion", "nats an answer"):  # fmt: skip
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 130


def test_json_holds_the_numbers_and_figures_are_drawn(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert main(["inspect", str(runs / "classify"), "--json", "--figures", str(tmp_path / "f")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "classify"
    gradient = found["depth"]["gradients"][0]
    assert len(gradient["distances"]) == len(gradient["chain"]["h"])
    assert found["depth"]["horizons"][0]["horizon"] >= 0
    assert found["reading"]["why"][0]["gap"] <= 0.01
    names = {Path(path).stem for path in found["figures"]}
    assert {"gradient", "horizon", "jacobian", "recurrent-units", "attention", "integrated-gradients"} <= names
    assert all((tmp_path / "f" / f"{name}.png").stat().st_size > 2000 for name in names)


def test_two_runs_side_by_side(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(runs / "a"), "--compare", str(runs / "b"), "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "Elman" in text
    assert "GRU" in text
    assert "looks back" in text
    a, b = (look_inside(runs / name) for name in "ab")
    assert comparison([a, b]).splitlines()[0].startswith("run ")


@pytest.mark.parametrize("task", ["tag", "regress"])
def test_other_tasks(runs: Path, task: str) -> None:
    found = look_inside(runs / task)
    assert found.depth.gradients
    assert found.depth.horizons
    assert found.reading is not None
    assert found.reading.why[0].gap is not None
    assert summary(found).startswith(f"{runs / task}: {task}, ")
    assert found.reading.remarks[0].startswith("units were looked at over ")
    if task == "tag":
        assert any(name.startswith("label ") for name in found.reading.followers)


def test_units_that_follow_a_class(runs: Path) -> None:
    reading = look_inside(runs / "classify").reading
    assert reading is not None
    assert 0.3 < reading.followers["class"].score <= 1
    # Over one short text alone nearly all units would go together.
    assert len(reading.health[0].redundant) < 0.5 * reading.health[0].units ** 2


def test_a_file_and_a_text_of_ones_own(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.txt"
    other.write_text('ab "a b" ' * 80, encoding="utf-8")
    assert main(["inspect", str(runs / "b"), str(other), "--quiet"]) == 0
    assert "of the input" in capsys.readouterr().out
    assert main(["inspect", str(runs / "tag"), "--literal", "red Blue red", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "3 steps" in text
    assert "of the held-out part" in text


def test_mistakes_end_in_a_sentence(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
    assert main(["inspect", str(runs / "a"), "x.txt", "--literal", "abc"]) == 2
    assert "one of the two" in capsys.readouterr().err
    assert main(["inspect", str(runs / "regress"), "--literal", "abc", "--quiet"]) == 2
    assert "reads no text" in capsys.readouterr().err
    assert main(["inspect", str(runs / "a"), str(tmp_path / "none.txt"), "--quiet"]) == 1
    assert "none.txt" in capsys.readouterr().err
    assert main(["inspect", str(runs / "a"), "--literal", "", "--quiet"]) == 1
    assert "is empty" in capsys.readouterr().err


def test_data_that_has_gone_is_asked_for(runs: Path) -> None:
    opened = open_inside(runs / "b")
    opened.common.data = runs / "gone.txt"
    with pytest.raises(RunError, match=r"gone\.txt.* is not there; give an INPUT"):
        opened.own_data()


def test_a_forecaster_and_its_window() -> None:
    rng = np.random.default_rng(0)
    series = np.sin(np.arange(260) / 4) + 0.1 * rng.normal(size=260)
    model = ur.Forecaster(horizon=4, hidden=6, epochs=1, threads=1).fit(series).model_
    part = model.part(_histories(series, None, None, None))
    depth = depth_of(model, part, TASKS["forecast"].options(horizon=4))
    assert depth.gradients
    batch = next(model.source(part, TASKS["forecast"].options(batch_size=1), 0).epoch(0))
    reading = read_one(model, batch)
    assert len(reading.why[0].labels) == model.shape.context
    assert reading.why[0].answer == "+1"


def test_a_translation_and_its_attention() -> None:
    rng = np.random.default_rng(0)
    words = {"uno": "one", "dos": "two", "tres": "three"}
    sources = [" ".join(rng.choice(list(words), 3)) for _ in range(60)]
    targets = [" ".join(words[w] for w in s.split()) for s in sources]
    torch.manual_seed(0)
    model = ur.Translator(hidden=8, embedding=8, units="word", epochs=1, threads=1).fit(sources, targets).model_
    subject = subject_of(model, "uno dos tres")
    reading = read_one(model, "uno dos tres")
    assert subject.labels[:3] == ("uno", "dos", "tres")
    assert reading.attention is not None
    assert reading.attention.weights.shape[1] == len(subject.labels)
    assert {s.network for s in reading.states} >= {"encoder"}
    assert reading.why[0].gap is not None
    assert reading.why[0].gap <= 0.01


def test_a_transcription_is_taken_apart() -> None:
    rng = np.random.default_rng(1)
    sounds = [rng.normal(size=rng.integers(3000, 5000)).astype(np.float32) for _ in range(6)]
    model = ur.Transcriber(hidden=4, epochs=1, threads=1, rate=8000).fit(sounds, list("ababab")).model_
    reading = read_one(model, _samples(model.signal, sounds[:1])[0])
    (gradients, shares) = reading.why
    assert gradients.gap is not None
    assert gradients.gap <= 0.01
    assert len(shares.contributions) == len(gradients.labels)
    assert reading.surprise is not None
    assert not len(reading.surprise.nats)
    assert reading.states


def test_the_words_of_a_caption_and_where_they_looked() -> None:
    regions = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    torch.manual_seed(0)
    model = (
        ur.Captioner(hidden=4, embedding=4, epochs=1, threads=1).fit(regions, ["a b", "b", "a", "b c", "c", "a"]).model_
    )
    subject = subject_of(model, regions[:1].reshape(1, 1, 5))
    reading = read_one(model, regions[:1].reshape(1, 1, 5))
    assert not reading.why
    assert reading.surprise is None
    assert reading.attention is not None
    with pytest.raises(ArgumentError, match="look at its attention instead"):
        integrated_gradients(subject)
