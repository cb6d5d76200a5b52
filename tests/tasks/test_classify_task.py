from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import open_run
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.events import Duplicates, Estimate, Event, Note, Split

QUICK = {"learning_rate": 0.03, "dropout": 0.0, "input_dropout": 0.0, "word_dropout": 0.0, "ema": 0.0}


@pytest.fixture(scope="module")
def model(runs: Path) -> ClassifyTask:
    found = open_run(runs / "classify")
    assert isinstance(found, ClassifyTask)
    return found


def test_training_learns(train: Any, files: Path, tmp_path: Path) -> None:
    result = train("classify", tmp_path / "run", epochs=15, options=QUICK, test=files / "moods.csv")
    assert result.test["accuracy"] > 0.95
    assert result.test["macro_f1"] > 0.95
    loaded = open_run(tmp_path / "run")
    assert isinstance(loaded, ClassifyTask)
    assert loaded.predict(["red red", "green blue green"]) == ["warm", "cold"]
    metrics = loaded.evaluate(files / "moods.csv")
    assert {k: metrics[k] for k in result.test} == pytest.approx(result.test, rel=1e-5)
    assert np.sum(metrics["confusion_matrix"]) == 60
    assert np.trace(np.array(metrics["confusion_matrix"])) == round(60 * metrics["accuracy"])


def test_answers_do_not_depend_on_the_batch(model: ClassifyTask) -> None:
    texts = ["red", "green blue grey red green", "blue", "grey grey"]
    together = model.probabilities(texts)
    alone = np.concatenate([model.probabilities([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-9)
    assert model.predict(texts) == [model.classes[i] for i in together.argmax(1)]
    assert model.embed(texts).shape == (4, 12)


def test_several_labels_a_row(train: Any, files: Path, tmp_path: Path) -> None:
    options = {**QUICK, "separator": "|"}
    result = train("classify", tmp_path / "run", epochs=25, options=options, data=files / "many.csv")
    model = open_run(tmp_path / "run")
    assert isinstance(model, ClassifyTask)
    assert model.several
    assert model.classes == ["blue", "green", "red"]
    assert model.predict(["red red grey", "grey blue green"]) == [("red",), ("blue", "green")]
    assert result.valid["macro_f1"] > 0.8
    assert "confusion_matrix" not in model.evaluate(files / "many.csv")


def test_balanced_weights_make_each_class_count_the_same(model: ClassifyTask) -> None:
    labels = ["warm"] * 3 + ["cold"] * 9
    weights = model.class_weights("balanced", labels)
    assert weights is not None
    np.testing.assert_allclose(weights.numpy(), [12 / (2 * 9), 12 / (2 * 3)], rtol=1e-6)
    given = model.class_weights({"warm": 3.0}, labels)
    assert given is not None
    assert given.tolist() == [1.0, 3.0]
    assert model.class_weights("none", labels) is None


def test_weights_of_classes_enter_the_loss(train: Any, tmp_path: Path) -> None:
    plain = train("classify", tmp_path / "a", options=QUICK)
    weighted = train("classify", tmp_path / "b", options={**QUICK, "class_weights": "balanced"})
    assert plain.valid["loss"] != weighted.valid["loss"]
    model = weighted.model
    batch = next(model.source(_examples(model), TASK_OPTIONS(class_weights="balanced"), 0).epoch(0))
    model.module.eval()
    logits = model.module(batch.inputs, batch.lengths)
    expected = functional.cross_entropy(logits, batch.targets, weight=model.weights)
    torch.testing.assert_close(model.loss(batch, None).loss, expected)


def TASK_OPTIONS(**values: Any) -> Any:
    from unrolled.tasks import ClassifyOptions

    return ClassifyOptions(**values)


def _examples(model: ClassifyTask) -> Any:
    from unrolled.tasks.sequences import Examples

    return Examples(["red", "grey blue", "blue blue"], ["warm", "cold", "cold"])


def test_what_is_known_before_training_is_told(train: Any, files: Path, tmp_path: Path) -> None:
    from unrolled.tasks import TASKS, Common

    told: list[Event] = []
    common = Common(data=files / "moods.csv", out=tmp_path / "r", test=files / "moods.csv", epochs=1, threads=1)
    TASKS["classify"].train(TASK_OPTIONS(hidden=4, embedding=4), common, (), told.append)
    (split,) = (event for event in told if isinstance(event, Split))
    assert (split.train, split.valid, split.test) == (54, 6, 60)
    duplicates = {event.part: event for event in told if isinstance(event, Duplicates)}
    assert duplicates["test"].rows >= 54
    assert "also occur in the training part" in str(duplicates["test"])
    (estimate,) = (event for event in told if isinstance(event, Estimate))
    assert estimate.parameters == open_run(tmp_path / "r").parameters
    assert estimate.seconds > 0
    assert estimate.memory > 20 * estimate.parameters


def test_a_group_is_never_in_two_parts(files: Path) -> None:
    from unrolled.tasks import Common

    parts = ClassifyTask.read(files / "moods.csv", TASK_OPTIONS(validation=0.4), Common(group="who"))
    assert parts.valid is not None
    assert not set(parts.train.groups or ()) & set(parts.valid.groups or ())
    assert len(parts.train) + len(parts.valid) == 60
    assert "who" in parts.how


def test_pretrained_vectors(train: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = {word: rng.normal(size=7).round(3) for word in ("red", "blue", "purple")}
    lines = [" ".join([word, *map(str, row)]) for word, row in vectors.items()]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    options = {"vectors": tmp_path / "vectors.txt", "freeze_vectors": True}
    result = train("classify", tmp_path / "run", options=options)
    model = open_run(tmp_path / "run")
    weight = model.module.embed.weight.detach().numpy()
    assert weight.shape[1] == 7
    assert model.vocabulary is not None
    np.testing.assert_allclose(weight[model.vocabulary.tokens.index("blue")], vectors["blue"], atol=1e-6)
    assert weight[model.vocabulary.tokens.index("green")].any()
    assert any("2 of" in str(note) for note in result.model.notes)


def test_from_another_run(train: Any, runs: Path, files: Path, tmp_path: Path) -> None:
    from unrolled.tasks import TASKS, Common

    told: list[Event] = []
    common = Common(data=files / "moods.csv", out=tmp_path / "r", from_run=runs / "classify", epochs=1, threads=1)
    TASKS["classify"].train(TASK_OPTIONS(learning_rate=1e-9, weight_decay=0.0, ema=0.0), common, (), told.append)
    before, after = open_run(runs / "classify"), open_run(tmp_path / "r")
    for (name, a), b in zip(before.module.named_parameters(), after.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0, msg=name)
    assert any(isinstance(event, Note) and "weights of" in event.text for event in told)


def test_a_classifier_can_start_from_a_language_model(train: Any, runs: Path, tmp_path: Path) -> None:
    result = train("classify", tmp_path / "r", options={"learning_rate": 1e-9}, from_run=runs / "language")
    language = open_run(runs / "language")
    assert result.model.vocabulary.units == "char"
    torch.testing.assert_close(result.model.module.embed.weight, language.module.embedding.weight, atol=1e-5, rtol=0)


def test_refusals(train: Any, model: ClassifyTask, files: Path, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the label 'hot' was not in the training data; the model knows cold, warm"):
        model.targets(["hot"])
    with pytest.raises(ArgumentError, match="class_weights is 'heavy', it must be none, balanced or a mapping"):
        model.class_weights("heavy", ["warm", "cold"])
    with pytest.raises(DataError, match="there is no column 'lable'"):
        train("classify", tmp_path / "r", options={"label": "lable"})
    assert not (tmp_path / "r").exists()
    with pytest.raises(ArgumentError, match="vectors and from exclude each other"):
        train("classify", tmp_path / "r", options={"vectors": files / "v"}, from_run=runs / "classify")
    with pytest.raises(ArgumentError, match="device is 'quantum', which torch does not know"):
        train("classify", tmp_path / "r", device="quantum")
    with pytest.raises(ArgumentError, match="device is 'cuda:99', but torch sees"):
        train("classify", tmp_path / "r", device="cuda:99")
    with pytest.raises(ArgumentError, match="pooling 'sum' is not known"):
        train("classify", tmp_path / "r", options={"pooling": "sum"})
    with pytest.raises(ArgumentError, match="the data is text and the run named by from reads numbers"):
        train("classify", tmp_path / "r", from_run=runs / "regress")
    assert not (tmp_path / "r").exists()
    with pytest.raises(ArgumentError, match="sequence 1 is int, this model reads texts"):
        model.encode([3])


def test_a_training_without_an_evaluation_is_measured_all_the_same(train: Any, tmp_path: Path) -> None:
    result = train("classify", tmp_path / "run", options=QUICK, max_time=1e-9)
    assert result.training.metrics == {}
    assert 0.0 <= result.valid["accuracy"] <= 1.0
