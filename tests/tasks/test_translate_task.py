from __future__ import annotations

import json
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrolled as ur
from unrolled.data import build_vocabulary
from unrolled.data.vocabulary import PairVocabulary
from unrolled.decode import BeamSearch, Hypothesis
from unrolled.errors import ArgumentError, RunError
from unrolled.layers import IGNORED
from unrolled.tasks import TASKS, Common, open_run
from unrolled.tasks.events import Note
from unrolled.tasks.options import TranslateOptions
from unrolled.tasks.pair_batches import Pairs, batches_of
from unrolled.tasks.training import RunResult
from unrolled.tasks.translate import BORDER, TranslateTask, hold_out, vocabulary_of
from unrolled.tasks.translation import Translator

# Half as wide, one seed in four learns nothing in so few steps; at this width all of them do.
SMALL: dict[str, Any] = {"hidden": 48, "embedding": 24, "units": "word", "dropout": 0.0, "batch_size": 16}
NUMBERS = {"uno": "one", "dos": "two", "tres": "three", "cuatro": "four", "cinco": "five"}
THINGS = {"casas": "houses", "perros": "dogs", "libros": "books"}


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """The thing first in one language, last in the other, and numbers between; a few words of each."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        thing, numbers = rng.choice(list(THINGS)), rng.choice(list(NUMBERS), size=rng.integers(1, 4))
        found.append((f"{thing} {' '.join(numbers)}", " ".join([*(NUMBERS[n] for n in numbers), THINGS[thing]])))
    return found


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("\n".join(["es\ten", *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write(folder / "train.tsv", pairs(200))
    write(folder / "test.tsv", pairs(30, seed=9))
    return folder


def train(files: Path, out: Path | None, *, notify: Any = None, **more: Any) -> RunResult:
    common = {name: more.pop(name) for name in list(more) if name in {f.name for f in fields(Common)}}
    settings = {"data": files / "train.tsv", "epochs": 1, "threads": 1, **common}
    options = TranslateOptions(**{**SMALL, **more})
    return TASKS["translate"].train(options, Common(out=out, **settings), notify=notify)


@pytest.fixture(scope="module")
def run(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt its little language."""
    out = tmp_path_factory.mktemp("runs") / "translate"
    train(files, out, epochs=20, learning_rate=0.02, test=files / "test.tsv")
    return out


def test_it_learns_another_order_of_words(run: Path) -> None:
    model = open_run(run)
    assert isinstance(model, TranslateTask)
    unseen = pairs(60, seed=3)
    answers = model.predict([source for source, _ in unseen])
    assert np.mean([answer == target for answer, (_, target) in zip(answers, unseen, strict=True)]) > 0.7
    results = json.loads((run / "config.json").read_text())["results"]
    assert results["test"]["bleu"] > 70 and results["test"]["accuracy"] > 0.85
    assert set(results["valid"]) == {"loss", "perplexity", "accuracy", "bleu", "chrf"}


def test_attention_finds_the_word_that_is_translated(run: Path) -> None:
    found = open_run(run).translate(["perros tres"])[0][0]
    assert found.source == ("perros", "tres", "</s>")
    assert found.attention.shape == (len(found.pieces), 3)
    np.testing.assert_allclose(found.attention.sum(1), 1, rtol=1e-5)


def test_the_best_few_are_in_order_and_differ(run: Path) -> None:
    model = open_run(run)
    (found,) = model.translate(["casas dos tres"], BeamSearch(model.search.end, 4, best=3))
    assert len({one.text for one in found}) == 3
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found[0].text == model.predict(["casas dos tres"])[0]


def test_answers_do_not_depend_on_who_else_is_asked(run: Path) -> None:
    model = open_run(run)
    texts = [source for source, _ in pairs(40, seed=5)]
    assert model.predict(texts) == [model.predict([text])[0] for text in texts]
    assert model.predict([]) == []


@pytest.mark.parametrize(
    "more",
    [
        {"input_feeding": True, "cell": "gru"},
        {"scheduled_sampling": 0.5, "joint": True, "layers": 2},
        {"units": "char", "attention": "additive", "tied": False, "input_feeding": True},
        {"units": "subword", "vocabulary_size": 300, "bidirectional": False, "cell": "gru"},
        {"units": "symbol", "layer_norm": True, "layers": 2},
    ],
)
def test_variants_are_trained_and_loaded_again(files: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    trained = train(files, tmp_path / "run", **more).model
    assert isinstance(trained, TranslateTask)
    again = open_run(tmp_path / "run")
    texts = ["casas uno dos", "libros cinco"]
    assert again.predict(texts) == trained.predict(texts)
    assert again.schema() == trained.schema()
    assert trained.vocabulary.joint == bool(more.get("joint"))


def test_a_stopped_training_goes_on_as_if_it_had_not(files: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"dropout": 0.2, "scheduled_sampling": 0.5}
    whole = train(files, tmp_path / "whole", epochs=2, decay="constant", warmup=0, **options)
    train(files, tmp_path / "part", epochs=1, decay="constant", warmup=0, **options)
    resumed = train(files, tmp_path / "part", epochs=2, decay="constant", warmup=0, resume=True, **options)
    assert resumed.training.step == whole.training.step
    for one, other in zip(whole.model.module.parameters(), resumed.model.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_run_starts_from_another(files: Path, run: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    start = train(files, tmp_path / "run", from_run=run, learning_rate=1e-9, hidden=6, notify=told.append).model
    assert start.predict(["perros tres"]) == open_run(run).predict(["perros tres"])
    assert f"weights of {run}" in [event.text for event in told if isinstance(event, Note)]


def forged(tokens: tuple[int, ...], looked: list[list[float]], text: str, units: str) -> str:
    """The text of a hypothesis whose steps looked at the places of `text` as said."""
    vocabulary = PairVocabulary(
        build_vocabulary(units, ["veo a ana . , -"], specials=(BORDER,)),
        build_vocabulary(units, ["i see bob , . -"], specials=(BORDER,)),
    )
    translator = Translator(None, vocabulary, BORDER, 2.0)  # type: ignore[arg-type]  # the network is not asked
    return translator._translation(text, Hypothesis(tokens, -1.0, -1.0, np.array(looked))).text


def test_unknown_words_are_copied_from_where_the_step_looked() -> None:
    words = build_vocabulary("word", ["i see bob , . -"], specials=(BORDER,))
    i, see = words.encode("i see").tolist()
    looked = [[1, 0, 0, 0], [1, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1]]
    assert forged((i, see, words.unknown), looked, "veo a Zacarías", "word") == "i see Zacarías"


def test_unknown_characters_are_copied_too() -> None:
    letters = build_vocabulary("char", ["i see bob , . -"], specials=(BORDER,))
    looked = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert forged((letters.unknown, letters.unknown, int(letters.encode("b")[0])), looked, "火é-", "char") == "火éb"


def test_batches_begin_and_end_with_the_border_and_are_a_function_of_their_place() -> None:
    sources = [np.arange(2, 2 + n) for n in (3, 1, 2, 3, 1)]
    targets = [np.arange(5, 5 + n) for n in (1, 4, 2, 3, 1)]
    batches = batches_of(sources, targets, 99, 2, seed=1, sampling=0.5)
    seen = 0
    for place, batch in enumerate(batches.epoch(3)):
        (again,) = list(batches.epoch(3, place))[:1]
        assert all(torch.equal(a, b) for a, b in zip(batch[:4], again[:4], strict=True))
        assert batch.sampling == again.sampling == pytest.approx(0.5 * (3 + place / 3) / 5)
        for inputs, wanted in zip(batch.inputs, batch.targets, strict=True):
            real = wanted[wanted != IGNORED].tolist()
            assert inputs[: len(real)].tolist() == [99, *real[:-1]] and real[-1] == 99
            seen += 1
        assert batch.tokens == int((batch.targets != IGNORED).sum())
    assert seen == 5
    assert next(batches.epoch(8)).sampling == 0.5


def test_no_source_is_in_both_parts() -> None:
    rows = pairs(300)
    parts = hold_out(Pairs([a for a, _ in rows], [b for _, b in rows]), 0.2, 0)
    assert parts.valid is not None and 30 < len(parts.valid) < 90
    assert not set(parts.train.sources) & set(parts.valid.sources)


def test_vocabularies_joint_or_separate() -> None:
    data = Pairs(["casas casas", "perros perros"], ["houses houses", "dogs dogs"])
    apart = vocabulary_of(data, TranslateOptions(units="word"))
    joint = vocabulary_of(data, TranslateOptions(units="word", joint=True))
    assert len(apart.source) == len(apart.target) == 5
    assert len(joint.source) == 7 and joint.joint


def test_measures_agree_with_sacrebleu_and_the_steps(run: Path, files: Path) -> None:
    import sacrebleu

    model = open_run(run)
    found = model.evaluate(files / "test.tsv")
    rows = pairs(30, seed=9)
    answers, references = model.predict([a for a, _ in rows]), [b for _, b in rows]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, [references]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(answers, [references]).score)
    right, total = 0, 0
    for source, target in rows[:5]:
        one = model.foretell(Pairs([source], [target]))
        count = len(target.split()) + 1
        right, total = right + one["accuracy"] * count, total + count
    some = model.foretell(Pairs([a for a, _ in rows[:5]], [b for _, b in rows[:5]]))
    assert some["accuracy"] == pytest.approx(right / total)


def test_without_sacrebleu_training_says_so_and_evaluation_refuses(
    files: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrolled.train.published.find_spec", lambda name: None)
    model = open_run(run)
    assert set(model.watch(model.read_part(files / "test.tsv"))) == {"loss", "perplexity", "accuracy"}
    with pytest.raises(
        ArgumentError, match=r"sacrebleu, which is not installed; run \"pip install 'unrolled\[metrics\]'"
    ):
        model.evaluate(files / "test.tsv")
    parts = TranslateTask.read(files / "train.tsv", TranslateOptions(**SMALL), Common())
    assert "BLEU is not measured" in TranslateTask.build(parts, TranslateOptions(**SMALL)).notes[0].text


def test_what_cannot_be_built_is_said(files: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="hidden=25 is odd, and two directions share it"):
        train(files, tmp_path / "a", hidden=25)
    with pytest.raises(ArgumentError, match="leave group out"):
        train(files, tmp_path / "b", group="es")
    (tmp_path / "text.txt").write_text("abc def " * 200)
    language = TASKS["language"]
    common = Common(data=tmp_path / "text.txt", out=tmp_path / "l", epochs=1, threads=1)
    language.train(language.options(hidden=8, embedding=4, batch_size=4, window=8), common)
    with pytest.raises(ArgumentError, match="from names a run of the task language"):
        train(files, tmp_path / "c", from_run=tmp_path / "l")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("attention", "dot"), ("beam", {"width": 0}), ("columns", {"x": 1}), ("stretch", "far"), ("input_feeding", True)],
)
def test_a_changed_run_is_refused_in_a_sentence(run: Path, tmp_path: Path, name: str, value: Any) -> None:
    for file in ("config.json", "vocabulary.json", "weights.safetensors"):
        (tmp_path / file).write_bytes((run / file).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["schema"][name] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="copy the run again"):
        open_run(tmp_path)


def test_estimator(tmp_path: Path) -> None:
    rows = pairs(200)
    model = ur.Translator(**SMALL, epochs=20, learning_rate=0.02, threads=1)
    X, y = [a for a, _ in rows], [b for _, b in rows]
    assert model.fit(X, y) is model
    assert model.score(X[:50], y[:50]) > 70
    several = model.translate(X[:2], best=2, beam=3, length_penalty=0.0)
    assert [len(found) for found in several] == [2, 2] and several[0][0].text == model.predict(X[:1])[0]
    model.save(tmp_path / "run")
    for again in (ur.load(tmp_path / "run"), pickle.loads(pickle.dumps(model))):
        assert again.predict(X[:5]) == model.predict(X[:5])
    with pytest.raises(ArgumentError, match="X has 3 texts and y 2 translations"):
        model.fit(X[:3], y[:2])
    with pytest.raises(ArgumentError, match="beam width 1 with the 3 best asked for"):
        model.translate(X[:1], best=3, beam=1)


def test_the_estimator_has_the_defaults_of_the_task() -> None:
    options = {f.name: f.default for f in fields(TranslateOptions)} | {f.name: f.default for f in fields(Common)}
    for name, value in ur.Translator().get_params().items():
        assert value == options[name], name
