from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.tagging import train_tagger, write_sentences, write_steps
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks import TASKS, Common, TagOptions, open_run
from unrolled.tasks.step_inputs import FORMS, NumberInput, form
from unrolled.tasks.tag import TagTask, Windows, learn_input
from unrolled.tasks.tag_parts import Layout, TagExamples, read_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """words.conll and steps.csv."""
    found = tmp_path_factory.mktemp("tag")
    write_sentences(found / "words.conll")
    write_steps(found / "steps.csv")
    return found


@pytest.fixture(scope="module")
def causal(folder: Path) -> TagTask:
    """A model of numbers that reads forward alone, hardly trained."""
    return model_of(folder / "steps.csv", label="phase", sequence="video", causal=True)


def model_of(data: Path, **options: Any) -> TagTask:
    parts = read_parts(data, wanted := small(**options), Common())
    torch.manual_seed(3)
    found = TagTask.build(parts, wanted)
    found.module.eval()
    return found


def small(**options: Any) -> TagOptions:
    return TagOptions(**{"hidden": 8, "embedding": 6, "characters": 4, "minimum": 1, **options})


def numbers(*lengths: int, width: int = 2, seed: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, width)).astype(np.float32) for length in lengths]


@pytest.mark.parametrize("crf", [False, True])
def test_words_are_learnt_and_a_saved_run_says_the_same(folder: Path, tmp_path: Path, crf: bool) -> None:
    held = write_sentences(tmp_path / "test.conll", seed=6)
    data = folder / "words.conll"
    result = train_tagger(data, tmp_path / "run", epochs=10, learning_rate=0.05, crf=crf, test=held)
    assert result.test["accuracy"] > 0.95
    model = open_run(tmp_path / "run")
    assert isinstance(model, TagTask)
    assert model.measure(model.read_part(held)) == pytest.approx(result.test)
    assert model.predict([("the", "bee", "Barks")]) == [["D", "N", "V"]]
    (found,) = model.probabilities([("the", "zebra", "saw", ".")])
    assert found.shape == (4, 4)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_rows_that_need_the_past_are_learnt_causally(folder: Path, tmp_path: Path) -> None:
    options = {"label": "phase", "sequence": "video", "causal": True, "dropout": 0.0, "hidden": 16}
    data = write_steps(tmp_path / "train.csv", sequences=40)
    result = train_tagger(data, tmp_path / "run", epochs=30, learning_rate=0.05, **options)
    test = write_steps(tmp_path / "t.csv", seed=8)
    found = open_run(tmp_path / "run").evaluate(test)
    assert found["accuracy"] > 0.9
    assert found["per_class"]["hit"]["count"] + found["per_class"]["rest"]["count"] == result.model.count(
        result.model.read_part(test)
    )
    assert set(result.valid) == {"loss", "accuracy", "macro_f1"}


@pytest.mark.parametrize("cell", ["gru", "lstm-peephole", "mingru"])
def test_a_causal_answer_depends_on_nothing_after_it(folder: Path, cell: str) -> None:
    options = {"label": "phase", "sequence": "video", "cell": cell, "layers": 2}
    model = model_of(folder / "steps.csv", causal=True, **options)
    (x,) = numbers(9)
    (before,) = model.probabilities([x])
    for t in (1, 4, 8):
        y = x.copy()
        y[t:] += np.random.default_rng(t).normal(size=y[t:].shape).astype(np.float32)
        (after,) = model.probabilities([y])
        np.testing.assert_allclose(after[:t], before[:t], atol=1e-6)
        assert np.abs(after[t:] - before[t:]).max() > 1e-6
    both = model_of(folder / "steps.csv", **options)
    first, y = both.probabilities([x])[0][0], x.copy()
    y[-1] += 1
    assert np.abs(both.probabilities([y])[0][0] - first).max() > 1e-6


def test_a_causal_word_depends_on_no_later_word(folder: Path) -> None:
    model = model_of(folder / "words.conll", causal=True)
    a = model.probabilities([("the", "dog", "SAW")])[0]
    b = model.probabilities([("the", "dog", "house")])[0]
    np.testing.assert_allclose(a[:2], b[:2], atol=1e-6)
    assert np.abs(a[2] - b[2]).max() > 1e-4


def test_a_model_that_reads_backwards_too_does_not_stream(folder: Path) -> None:
    with pytest.raises(ArgumentError, match="so it cannot answer step by step; train it with causal"):
        model_of(folder / "words.conll").stream()
    with pytest.raises(ArgumentError, match="causal and crf exclude each other"):
        train_tagger(folder / "words.conll", causal=True, crf=True)


def test_answers_do_not_depend_on_the_other_sequences(causal: TagTask) -> None:
    sequences = numbers(9, 1, 30)
    together = causal.probabilities(sequences)
    for alone, one in zip(sequences, together, strict=True):
        np.testing.assert_allclose(causal.probabilities([alone])[0], one, atol=1e-6)


def test_long_sequences_are_cut_anew_in_every_epoch_and_covered(causal: TagTask) -> None:
    sequences = numbers(100, 7)
    labels = [np.arange(len(sequence)) for sequence in sequences]
    windows = Windows.of(causal.reader, sequences, labels, small(window=16, batch_size=4), 3)
    assert len(windows) == 8  # seven pieces of the long one and the short one: no more than an eighth of them in each
    epochs = [list(windows.epoch(number)) for number in (0, 1)]
    for batches in epochs:
        seen = np.concatenate([batch.labels[batch.labels >= 0].numpy() for batch in batches])
        assert len(seen) == 7 * 16 + 7
        assert len(set(seen.tolist())) > 80
        for batch in batches:
            for row, length in zip(batch.labels, batch.lengths.tolist(), strict=True):
                assert np.diff(row[:length]).tolist() == [1] * (length - 1)
    firsts = [sorted(int(batch.labels[0, 0]) for batch in batches) for batches in epochs]
    assert firsts[0] != firsts[1]
    again = [batch.labels for batch in windows.epoch(1, 2)]
    assert all(torch.equal(a, b.labels) for a, b in zip(again, epochs[1][2:], strict=True))


def test_few_sequences_give_their_ends_and_many_give_whole_ones(folder: Path, tmp_path: Path) -> None:
    few = write_steps(tmp_path / "few.csv", sequences=3)
    options = TagOptions(label="phase", sequence="video", validation=0.25)
    parts = read_parts(few, options, Common())
    assert parts.how == "the last 25% of each sequence"
    assert parts.valid is not None
    assert [len(x) for x in parts.valid.inputs] == [
        len(a) + len(b) - round(0.75 * (len(a) + len(b)))
        for a, b in zip(parts.train.inputs, parts.valid.inputs, strict=True)
    ]
    many = read_parts(folder / "steps.csv", options, Common())
    assert many.how == "25% of the sequences held out"
    assert many.valid is not None
    assert len(many.valid) == 3
    grouped = read_parts(folder / "steps.csv", options, Common(group="video"))
    assert grouped.how == "25% of the sequences held out, no video in both parts"


def test_several_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for seed, name in enumerate(("a.csv", "b.csv")):
        write_steps(tmp_path / "all" / name, sequences=2, seed=seed)
    third = write_steps(tmp_path / "c.csv", sequences=1)
    options = TagOptions(label="phase", sequence="video", also=(third,), validation=0.0)
    parts = read_parts(tmp_path / "all", options, Common())
    assert len(parts.train) == 5
    assert parts.train.layout.features == ("x", "y")
    words = write_sentences(tmp_path / "w.conll")
    with pytest.raises(DataError, match=r"w.conll: this file holds other steps than .*c.csv"):
        read_parts(third, TagOptions(also=(words,)), Common())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no file"):
        read_parts(tmp_path / "empty", TagOptions(), Common())


def test_spans_and_labels_never_seen(folder: Path, tmp_path: Path) -> None:
    lines = "\n\n".join("Bo B-PER\nSmith I-PER\nsees O\nRome B-LOC" for _ in range(12))
    (tmp_path / "a.conll").write_text(lines, encoding="utf-8")
    result = train_tagger(tmp_path / "a.conll", tmp_path / "run", epochs=8, learning_rate=0.1)
    assert result.model.measure(result.model.read_part(tmp_path / "a.conll"))["span_f1"] == 1
    (tmp_path / "b.conll").write_text("Bo B-PER\nSmith I-PER\nsees O\nRome B-ORG\n", encoding="utf-8")
    found = result.model.evaluate(tmp_path / "b.conll")
    assert found["unknown_labels"] == 1
    assert found["accuracy"] == 0.75
    assert found["span_f1"] == pytest.approx(0.5)
    assert np.isfinite(found["loss"])


def test_resume_gives_what_an_unbroken_run_gives(folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"label": "phase", "sequence": "video", "window": 6}
    whole = train_tagger(folder / "steps.csv", tmp_path / "whole", epochs=3, **options)
    train_tagger(folder / "steps.csv", tmp_path / "parts", epochs=3, **options)
    config = json.loads((tmp_path / "parts" / "config.json").read_text())
    assert config["schema"]["layout"]["features"] == ["x", "y"]
    again = TASKS["tag"].train(TagOptions(), Common(out=tmp_path / "parts", resume=True))
    assert again.valid == whole.valid


def test_from_another_run(folder: Path, tmp_path: Path) -> None:
    train_tagger(folder / "words.conll", tmp_path / "first")
    other = write_sentences(tmp_path / "other.conll", seed=12)
    second = train_tagger(other, tmp_path / "second", from_run=tmp_path / "first", learning_rate=1e-9, hidden=20)
    first = open_run(tmp_path / "first")
    assert second.model.plan.hidden == 8
    assert second.model.vocabulary is not None
    assert first.vocabulary is not None
    assert second.model.vocabulary.tokens == first.vocabulary.tokens
    with pytest.raises(ArgumentError, match="the data is numbers and the run named by from reads words"):
        train_tagger(folder / "steps.csv", from_run=tmp_path / "first", label="phase", sequence="video")


def test_words_never_seen_are_known_by_their_spelling(folder: Path) -> None:
    model = model_of(folder / "words.conll")
    a, b = (model.probabilities([(word, "dog")])[0][0] for word in ("zebra", "Quax"))
    assert np.abs(a - b).max() > 1e-5
    blind = model_of(folder / "words.conll", characters=0)
    a, b = (blind.probabilities([(word, "dog")])[0][0] for word in ("zebra", "quax"))
    np.testing.assert_allclose(a, b, atol=1e-7)
    c = blind.probabilities([("Quax", "dog")])[0][0]
    assert np.abs(a - c).max() > 1e-6, "capitals are a feature of their own"


@pytest.mark.parametrize(
    ("word", "name"),
    [("dog", "lower"), ("Dog", "Capital"), ("I", "Capital"), ("USA", "UPPER"), ("iPod", "miXed"), ("1,000.5", "number"),
     ("A4", "with digit"), ("--", "punctuation")],
)  # fmt: skip
def test_the_outward_form_of_a_word(word: str, name: str) -> None:
    assert FORMS[form(word)] == name


def test_pretrained_vectors(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vector = rng.normal(size=5).round(3)
    (tmp_path / "v.txt").write_text("dog " + " ".join(map(str, vector)) + "\n", encoding="utf-8")
    model = model_of(folder / "words.conll", vectors=tmp_path / "v.txt", freeze_vectors=True)
    weight = model.module.encoder.words.weight  # type: ignore[union-attr]
    row = model.vocabulary.ids_of(["dog"])[0]  # type: ignore[union-attr]
    np.testing.assert_allclose(weight[row].detach(), vector, rtol=1e-6)  # type: ignore[index]
    assert not weight.requires_grad
    assert str(model.notes[0]).startswith("1 of ")


def test_scales_are_learnt_on_the_training_part_alone(folder: Path) -> None:
    options = TagOptions(label="phase", sequence="video")
    parts = read_parts(folder / "steps.csv", options, Common())
    reader: Any = learn_input(parts.train, options)
    np.testing.assert_allclose(reader.scaler.mean, np.concatenate(list(parts.train.inputs)).mean(0), atol=1e-5)


def reader_of(sequences: list[np.ndarray], **options: Any) -> NumberInput:
    """What is learnt of these sequences of numbers."""
    layout = Layout("numbers", features=("x", "y"), clock=options.get("clock"))
    found = learn_input(TagExamples(sequences, [], layout), TagOptions(**options))
    assert isinstance(found, NumberInput)
    return found


def test_a_sequence_scaled_by_itself_forgets_its_level_and_spread() -> None:
    few = numbers(120, 200, 150, width=5)
    reader = reader_of(few, clock="when")
    assert reader.own
    assert reader.width == 5 + 2
    moved = few[0].copy()
    moved[:, :2] = 3 * moved[:, :2] + 7
    (a, b) = reader.prepare_all([few[0], moved])
    np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(a[:, :2].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(a[:, :2].std(0), 1, atol=1e-4)
    np.testing.assert_allclose(a[:, 2:5], reader.scaler.transform(few[0])[:, 2:], atol=1e-6, err_msg="times of day")
    still = few[0] * np.array([1, 1e-6, 1, 1, 1], dtype=np.float32)
    assert np.abs(reader.prepare(still)[:, 1]).max() < 1e-3, "what stands still is not blown up"


@pytest.mark.parametrize(
    ("lengths", "options", "own"),
    [
        ((120, 200, 150), {}, True),
        ((120, 200, 150), {"causal": True}, False),
        ((120, 200, 150), {"scaling": "training"}, False),
        ((500,), {}, False),
        ((500,), {"scaling": "itself"}, True),
        ((40, 30, 300), {}, False),
    ],
)
def test_which_sequences_are_scaled_by_themselves(lengths: tuple[int, ...], options: dict[str, Any], own: bool) -> None:
    assert reader_of(numbers(*lengths), **options).own == own


def test_levels_are_shifted_as_far_as_those_of_the_parts_are_apart() -> None:
    rng = np.random.default_rng(2)
    level = np.repeat(rng.normal(size=8), 100)
    wandering = np.stack([level + 0.1 * rng.normal(size=800), rng.normal(size=800)], 1).astype(np.float32)
    drift = reader_of([wandering]).drift
    assert drift[0] > 0.8
    assert drift[1] < 0.2, "a number whose level stays is not shifted"
    assert reader_of([wandering], drift=0.3).drift == [0.3, 0.3]
    assert not any(reader_of([wandering], drift=0.0).drift)
    many = reader_of([wandering[at : at + 80] for at in range(0, 800, 80)])
    assert many.drift == [0, 0], "ten sequences show by themselves what their levels mean"
    assert len(reader_of(numbers(1, 2, 1)).drift) == 2


def test_labels_that_are_exact_levels_are_learnt_by_default(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=600)
    rows = [f"{a:.4f},{b:.4f},{'high' if a > 0.4 else 'low'}" for a, b in zip(x, rng.normal(size=600), strict=True)]
    (tmp_path / "one.csv").write_text("\n".join(["x,y,label", *rows]) + "\n", encoding="utf-8")
    result = train_tagger(tmp_path / "one.csv", tmp_path / "run", epochs=12, learning_rate=0.03, window=50, dropout=0.0)
    assert result.valid["accuracy"] > 0.9


def test_a_clock_is_part_of_the_run(tmp_path: Path) -> None:
    start = np.datetime64("2024-03-01", "s")
    hours = [f"{start + 3600 * n},{np.sin(n):.4f},{'day' if 8 <= n % 24 < 18 else 'night'}" for n in range(24 * 14)]
    (tmp_path / "a.csv").write_text("\n".join(["when,x,label", *hours]) + "\n", encoding="utf-8")
    result = train_tagger(tmp_path / "a.csv", tmp_path / "run", epochs=25, learning_rate=0.03, causal=True, dropout=0.0)
    assert result.valid["accuracy"] > 0.85
    model = open_run(tmp_path / "run")
    assert isinstance(model, TagTask)
    assert model.layout.clock == "when"
    one_day = tmp_path / "b.csv"
    one_day.write_text("\n".join(["when,x,label", *hours[:24]]) + "\n", encoding="utf-8")
    assert model.read_part(one_day).inputs[0].shape == (24, 4), "a clock even where it spans a single day"


def test_refusals(folder: Path, causal: TagTask, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"sequence 1 has the shape \(4, 3\), and this model reads 2 numbers"):
        causal.predict(numbers(4, width=3))
    with pytest.raises(ArgumentError, match="sequence 1 is not a list of words"):
        model_of(folder / "words.conll").predict(["the dog"])
    (tmp_path / "one.csv").write_text("x,label\n1,a\n2,a\n3,a\n", encoding="utf-8")
    with pytest.raises(ArgumentError, match="every step has the label 'a'; a tagger needs at least two labels"):
        train_tagger(tmp_path / "one.csv")
    with pytest.raises(ArgumentError, match=r"group='who' needs a table with columns"):
        train_tagger(folder / "words.conll", group="who")
    for options, sentence in [
        ({"scaling": "none"}, "scaling='none' is not known; give auto, training or itself"),
        ({"scaling": "itself", "causal": True}, "causal excludes scaling a sequence by itself, because its mean"),
        ({"drift": -1.0}, r"drift=-1\.0 is no standard deviation; give a number from 0"),
    ]:
        with pytest.raises(ArgumentError, match=sentence):
            train_tagger(folder / "steps.csv", label="phase", sequence="video", **options)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("layout", "kind"), "pictures"),
        (("layout", "features"), [1]),
        (("input", "scaler"), {"mean": [1.0], "scale": [0.0]}),
        (("input", "scaler"), {"mean": [1.0], "scale": [1.0]}),
        (("input", "clock"), 3),
        (("input", "clock"), None),
        (("input", "own"), 0),
        (("input", "drift"), [0.5]),
        (("input", "drift"), [0.5, -1.0]),
        (("input", "drift"), [True, 0.5]),
        (("classes",), ["only"]),
        (("crf",), "yes"),
    ],
)
def test_a_changed_schema_is_refused(folder: Path, tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    train_tagger(folder / "steps.csv", tmp_path / "run", epochs=1, label="phase", sequence="video")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    place = config["schema"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"run: config.json was changed or damaged|run: .* the network needs"):
        open_run(tmp_path / "run")
