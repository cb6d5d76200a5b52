from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from unrolled.data import TokenStreams, Window
from unrolled.data.split import hold_out
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import map_state, truncated
from unrolled.tasks import open_run
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.options import LanguageOptions


@pytest.fixture(scope="module")
def model(runs: Path) -> LanguageTask:
    found = open_run(runs / "language")
    assert isinstance(found, LanguageTask)
    return found


@pytest.fixture(scope="module", params=["word", "byte", "subword"])
def other(request: pytest.FixtureRequest, files: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageTask:
    """A model of several documents, which learns their ends, in other units."""
    from unrolled.tasks import TASKS, Common

    if request.param == "subword":
        pytest.importorskip("tokenizers")
    out = tmp_path_factory.mktemp("other") / "run"
    options = TASKS["language"].options(units=request.param, hidden=8, embedding=8, window=4, batch_size=4, tied=True)
    found = TASKS["language"].train(options, Common(data=files / "moods.csv", out=out, epochs=2, threads=1)).run
    loaded = open_run(found or out)
    assert isinstance(loaded, LanguageTask)
    return loaded


def by_hand(model: LanguageTask, text: str) -> float:
    """The cost of a text in one pass over all of it, in nats."""
    ids = torch.from_numpy(model.encode(text))[None]
    with torch.no_grad():
        logits, _ = model.module(ids[:, :-1])
    return float(functional.cross_entropy(logits[0].double(), ids[0, 1:], reduction="sum"))


def test_training_learns(runs: Path, train: Any, files: Path, tmp_path: Path) -> None:
    result = train("language", tmp_path / "run", epochs=12, options={"learning_rate": 0.02})
    counts = np.unique(list((files / "story.txt").read_text()), return_counts=True)[1] / 1500
    entropy = -(counts * np.log(counts)).sum()
    assert result.valid["loss"] < 1.05 * entropy
    assert result.valid["perplexity"] == pytest.approx(math.exp(result.valid["loss"]))
    assert result.valid["bits_per_character"] == pytest.approx(result.valid["loss"] / math.log(2))


def test_scores_carry_the_state_through_each_text(model: LanguageTask, files: Path) -> None:
    texts = ["a", "abc cde", (files / "story.txt").read_text()[:700]]
    for text, score in zip(texts, model.score(texts), strict=True):
        assert score.nats == pytest.approx(by_hand(model, text), rel=1e-5)
        assert (score.units, score.characters) == (len(text), len(text))


def test_windows_are_ragged_and_some_rows_start_afresh(model: LanguageTask) -> None:
    rng = np.random.default_rng(8)
    ids = rng.integers(model.vocabulary.first, len(model.vocabulary), size=(3, 6))
    lengths = np.array([5, 0, 2])
    before = map_state(torch.randn_like, model.module.initial_state(3))
    window = Window(
        ids[:, :-1], ids[:, 1:], lengths, np.array([False, False, True]), np.zeros(3, np.int64), ids.shape[1]
    )
    found = model.loss(window, before)
    costs = []
    for row, length in enumerate(lengths):
        start = None if row == 2 else map_state(lambda t, row=row: t[[row]], before)
        if length:
            logits, state = model.module(torch.from_numpy(ids[[row], :length]), start)
            wanted = torch.from_numpy(ids[row, 1 : length + 1])
            costs.append(functional.cross_entropy(logits[0], wanted, reduction="none"))
        else:
            state = start
        after = map_state(lambda t, row=row: t[[row]], found.carry)
        map_state(lambda a, b: torch.testing.assert_close(a, b) or a, after, state)
    torch.testing.assert_close(found.loss, torch.cat(costs).mean())
    assert found.weight == 7


def test_a_long_text_is_measured_at_many_places_as_if_it_were_read_on(model: LanguageTask, files: Path) -> None:
    text = (files / "story.txt").read_text() * 6
    found = model.measure([text, "abc"])
    exact = by_hand(model, text) + by_hand(model, "abc")
    assert found["loss"] == pytest.approx(exact / (len(text) + 3), rel=1e-5)


def test_what_a_loaded_run_measures_is_what_training_reported(runs: Path, train: Any, tmp_path: Path) -> None:
    result = train("language", tmp_path / "run")
    valid = tmp_path / "valid.txt"
    text = (Path(result.config.common["data"])).read_text()
    valid.write_text(text[-round(0.1 * len(text)) :])
    again = open_run(tmp_path / "run").evaluate(valid)
    assert again["loss"] == pytest.approx(result.valid["loss"], rel=1e-5)


def test_generation_is_the_seeds_and_streams(model: LanguageTask) -> None:
    pieces = list(model.generate("ab", 40, seed=3))
    assert len(pieces) == 40
    assert "".join(model.generate("ab", 40, seed=3)) == "".join(pieces)
    assert "".join(model.generate("ab", 40, seed=4)) != "".join(pieces)
    assert set("".join(pieces)) <= set("abcde \n")


def test_temperature_zero_follows_the_likeliest_unit(model: LanguageTask) -> None:
    text = "ab"
    for _ in range(8):
        with torch.no_grad():
            logits = model.module(torch.from_numpy(model.encode(text))[None])[0][0, -1]
        logits[[model.vocabulary.pad, model.vocabulary.unknown, model.border]] = -math.inf
        text += model.vocabulary.decode([int(logits.argmax())])
    assert "ab" + "".join(model.generate("ab", 8, temperature=0)) == text


def test_completions_are_probabilities_of_whole_words(model: LanguageTask) -> None:
    found = model.complete("abc ", 5)
    assert len(found) == 5
    assert all(word and " " not in word for word, _ in found)
    assert sorted((p for _, p in found), reverse=True) == [p for _, p in found]
    word, p = found[0]
    spelled = by_hand(model, "abc " + word + " ") - by_hand(model, "abc ")
    broken = by_hand(model, "abc " + word + "\n") - by_hand(model, "abc ")
    assert p == pytest.approx(math.exp(-spelled) + math.exp(-broken), rel=0.3)


def test_other_units_and_several_documents(other: LanguageTask) -> None:
    assert other.ends
    text = "red green blue"
    assert other.score([text])[0].nats == pytest.approx(by_hand(other, text), rel=1e-5)
    assert len(other.vocabulary.encode(text)) + 1 == other.score([text])[0].units
    completions = other.complete("red", 3)
    assert completions
    assert all(0 <= p <= 1 for _, p in completions)
    assert isinstance("".join(other.generate("red", 12, seed=1, top_k=5, top_p=0.9)), str)


def test_a_model_of_documents_can_end_one(other: LanguageTask) -> None:
    with torch.no_grad():
        other.module.output.bias[other.border] = 50.0
    assert list(other.generate("red", 10, seed=0)) == []


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_end_of_the_text_is_held_out(fraction: float) -> None:
    rng = np.random.default_rng(2)
    texts = ["".join(rng.choice(list("xyz"), size=n)) for n in (40, 3, 57)]
    train, valid = hold_out(texts, fraction)
    assert "".join(train) + "".join(valid or []) == "".join(texts)
    assert len("".join(valid or [])) == round(fraction * 100)
    assert len(train) + len(valid or []) <= len(texts) + 1


def test_refusals(model: LanguageTask) -> None:
    with pytest.raises(ArgumentError, match="length is 0, it must be 1 or more"):
        model.generate("a", 0)
    with pytest.raises(ArgumentError, match="count is 0, it must be 1 or more"):
        model.complete("a", 0)
    with pytest.raises(ArgumentError, match="text 2 has no char in it"):
        model.score(["a", ""])
    with pytest.raises(ArgumentError, match=r"validation is 1\.5, it must be 0 or more and below 1"):
        hold_out(["abc"], 1.5)
    with pytest.raises(DataError, match="only 2 characters, too few to hold 10% out"):
        hold_out(["ab"], 0.1)


@pytest.mark.parametrize(("unknown", "told"), [(0, False), (1, False), (30, True)])
def test_unknown_units_are_told_where_they_matter(unknown: int, told: bool) -> None:
    text = "abcd " * 4000
    parts = Parts(train=[text], valid=[text[: len(text) - unknown] + "ß" * unknown])
    model = LanguageTask.build(parts, LanguageOptions(hidden=4, embedding=4), None)
    assert [note.text for note in model.notes] == (
        ["0.15% of the validation units are not in the vocabulary"] if told else []
    )


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_overlapping_windows_of_a_text_have_the_gradients_of_truncated(
    model: LanguageTask, files: Path, stride: int
) -> None:
    """A loss of every window of a text, weights untouched: as `truncated`, which is held to brute force, has them."""
    ids = model.encode((files / "story.txt").read_text()[:60])
    module = model.module
    module.zero_grad()
    carry: Any = None
    weight = 0
    for window in TokenStreams([ids], 1, 8, 0, stride=stride).epoch(0):
        found = model.loss(window, carry)
        (found.loss * found.weight).backward()
        weight += found.weight
        carry = map_state(torch.Tensor.detach, found.carry)
    assert weight == len(ids) - 1
    gradients = {name: p.grad.clone() for name, p in module.named_parameters()}
    module.zero_grad()
    tokens = torch.from_numpy(ids)[None]
    parts = truncated(module.recurrent, module.embedding(tokens[:, :-1]).detach(), window=8, stride=stride)
    for part in parts:
        targets = tokens[:, 1:][:, part.steps]
        module.output.cost(part.outputs, targets, reduction="sum").backward()
    for name, parameter in module.named_parameters():
        if not name.startswith("embedding"):
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5)
