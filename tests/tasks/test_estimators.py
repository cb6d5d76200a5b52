from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled import cells
from unrolled.errors import ArgumentError, RunError
from unrolled.tasks import TASKS, Common

QUICK: dict[str, Any] = {
    "hidden": 8,
    "embedding": 6,
    "learning_rate": 0.03,
    "epochs": 12,
    "threads": 1,
    "batch_size": 16,
}
PLAIN: dict[str, Any] = {"dropout": 0.0, "input_dropout": 0.0, "word_dropout": 0.0, "ema": 0.0}
WORDS = np.array(["red", "green", "blue", "grey"])


@pytest.fixture
def texts() -> list[str]:
    rng = np.random.default_rng(5)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 6))) for _ in range(80)]


def classifier(**more: Any) -> ur.Classifier:
    return ur.Classifier(**{**QUICK, **PLAIN, **more})


def test_texts_with_labels(texts: list[str]) -> None:
    labels = np.array(["warm" if "red" in text else "cold" for text in texts])
    model = classifier().fit(texts, labels)
    assert model.score(texts, labels) > 0.95
    assert list(model.classes_) == ["cold", "warm"]
    np.testing.assert_array_equal(model.predict(texts), model.classes_[model.predict_proba(texts).argmax(1)])
    assert model.embed(texts).shape == (80, 16)
    assert model.metrics_ == {}


def test_a_part_is_held_out_where_there_is_enough(texts: list[str]) -> None:
    labels = ["warm" if "red" in text else "cold" for text in texts]
    model = classifier(validation=0.25, epochs=3).fit(texts, labels)
    assert set(model.metrics_) == {"loss", "accuracy", "macro_f1"}
    assert [row["part"] for row in model.history_] == ["train", "valid"] * 3


@pytest.mark.parametrize("kind", ["tuples", "indicator"])
def test_several_labels(texts: list[str], kind: str) -> None:
    marks = np.array([[word in text for word in WORDS] for text in texts]).astype(int)
    y: Any = [tuple(WORDS[row > 0].tolist()) for row in marks] if kind == "tuples" else marks
    model = classifier(epochs=40).fit(texts, y)
    assert model.score(texts, y) > 0.9
    if kind == "indicator":
        assert (model.predict(texts) == marks).mean() > 0.95
    else:
        assert model.predict(["red blue"]) == [("blue", "red")]


@pytest.mark.parametrize("shape", ["matrix", "cube", "ragged"])
def test_numbers(shape: str) -> None:
    rng = np.random.default_rng(6)
    X: Any = rng.normal(size=(60, 7, 2)) if shape == "cube" else rng.normal(size=(60, 7))
    if shape == "ragged":
        X = [row[: rng.integers(1, 8)] for row in X]
    y = np.array([np.sum(row) for row in X])
    model = ur.Regressor(cell=cells.GRU(), hidden=12, learning_rate=0.03, epochs=40, threads=1, validation=0.0).fit(
        X, y
    )
    assert model.score(X, y) > 0.7
    assert model.predict(X).shape == (60,)
    assert ur.Regressor(hidden=4, epochs=1).fit(X, np.stack([y, -y], 1)).predict(X).shape == (60, 2)


def test_language_model(texts: list[str]) -> None:
    model = ur.LanguageModel(units="word", window=4, **{**QUICK, "batch_size": 4, "epochs": 3}).fit(texts)
    assert model.score(texts) > -2.5
    np.testing.assert_allclose(model.score_samples(texts[:2]), [-s.nats for s in model.score_texts(texts[:2])])
    assert model.generate("red", 5, seed=1) == "".join(model.pieces("red", 5, seed=1))
    assert {word for word, _ in model.complete("red", 9)} == {*WORDS, ""}
    assert isinstance(ur.LanguageModel(hidden=4, epochs=1).fit(" ".join(texts)).generate(length=3), str)


def fitted(kind: str, texts: list[str]) -> tuple[Any, Callable[[Any], Any]]:
    if kind == "classify":
        return classifier(epochs=1).fit(texts, [len(t) % 3 for t in texts]), lambda m: m.predict_proba(texts)
    if kind == "regress":
        return ur.Regressor(**{**QUICK, "epochs": 1}).fit(texts, [len(t) for t in texts]), lambda m: m.predict(texts)
    return ur.LanguageModel(hidden=6, epochs=1, batch_size=4).fit(texts), lambda m: m.score_samples(texts)


@pytest.mark.parametrize("kind", ["classify", "regress", "language"])
def test_saved_loaded_and_pickled_models_answer_the_same(kind: str, texts: list[str], tmp_path: Path) -> None:
    model, ask = fitted(kind, texts)
    answers = ask(model)
    model.save(tmp_path / "run")
    loaded = ur.load(tmp_path / "run")
    assert type(loaded) is type(model)
    np.testing.assert_allclose(ask(loaded), answers, atol=1e-6)
    assert loaded.get_params() == model.get_params()
    np.testing.assert_allclose(ask(pickle.loads(pickle.dumps(model))), answers, atol=1e-6)
    with pytest.raises(RunError, match="not empty"):
        model.save(tmp_path / "run")


def test_the_command_line_and_the_estimator_train_the_same_model(files: Path, tmp_path: Path) -> None:
    rows = [line.split(",") for line in (files / "moods.csv").read_text().splitlines()[1:]]
    shared = {"hidden": 6, "embedding": 5, "batch_size": 16, "validation": 0.2}
    estimator = ur.Classifier(**shared, epochs=2, threads=1).fit([r[0] for r in rows], [r[1] for r in rows])
    estimator.save(tmp_path / "a")
    common = Common(data=files / "moods.csv", out=tmp_path / "b", epochs=2, threads=1)
    TASKS["classify"].train(TASKS["classify"].options(**shared), common)
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (
        tmp_path / "b" / "weights.safetensors"
    ).read_bytes()
    names = [{path.name for path in (tmp_path / run).iterdir() if "checkpoint" not in path.name} for run in "ab"]
    assert names[0] == names[1] - {"tensorboard"}


def test_refusals(texts: list[str]) -> None:
    model = classifier(epochs=1)
    with pytest.raises(ArgumentError, match="Invalid parameter 'width' for Classifier"):
        model.set_params(width=3)
    with pytest.raises(ValueError, match="this Classifier is not fitted; call fit first"):
        model.predict(texts)
    model.fit(texts, [len(t) % 2 for t in texts])
    with pytest.raises(ArgumentError, match="X holds numbers, Classifier was fitted to texts; give texts"):
        model.predict(np.zeros((2, 3)))
    numbers = classifier(epochs=1).fit(np.zeros((4, 3)), [0, 1, 0, 1])
    with pytest.raises(ArgumentError, match="X has 2 features, but Classifier is expecting 3 features"):
        numbers.predict(np.zeros((4, 2)))
    assert numbers.predict(np.zeros((4, 2, 1))).shape == (4,)
    with pytest.raises(ArgumentError, match="X holds numbers, a language model reads texts"):
        ur.LanguageModel().fit(np.zeros((4, 3)))
