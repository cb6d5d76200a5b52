"""Why an answer: contributions that sum as their definition says, on runs of several tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import unrolled as ur
from unrolled.errors import ArgumentError
from unrolled.inspect.subject import Subject, subject_of
from unrolled.inspect.why import integrated_gradients, occlusion, surprise

SMALL: dict[str, Any] = {"hidden": 8, "epochs": 1, "threads": 1}


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    found = [" ".join(rng.choice(["good", "bad", "so", "very", "film"], 6)) for _ in range(40)]
    return found, ["pos" if text.count("good") > text.count("bad") else "neg" for text in found]


@pytest.fixture(scope="module")
def subjects(texts: tuple[list[str], list[str]]) -> dict[str, Subject]:
    rng = np.random.default_rng(1)
    series = [rng.normal(size=(rng.integers(8, 14), 2)).astype(np.float32) for _ in range(24)]
    torch.manual_seed(0)
    language = ur.LanguageModel(embedding=6, batch_size=2, window=16, **SMALL).fit(
        ["".join(rng.choice(list("abc "), 600))]
    )
    classifier = ur.Classifier(embedding=6, pooling="attention", **SMALL).fit(*texts)
    regressor = ur.Regressor(cell="gru", layers=2, **SMALL).fit(series, [float(s.sum()) for s in series])
    words = [text.split() for text in texts[0]]
    tagger = ur.Tagger(embedding=6, **SMALL).fit(words, [[w[0] for w in row] for row in words])
    found = {
        "language": subject_of(language.model_, "abca bc aab c"),
        "classify": subject_of(classifier.model_, texts[0][3], texts[1][3]),
        "regress": subject_of(regressor.model_, series[2]),
        "tag": subject_of(tagger.model_, words[5], [w[0] for w in words[5]]),
    }
    # Hardly trained networks answer nearly the same whatever they read, so the weights are made larger.
    with torch.no_grad():
        for subject in found.values():
            for parameter in subject.model.module.parameters():
                parameter += 0.5 * torch.randn_like(parameter)
    return {
        "language": subject_of(language.model_, "abca bc aab c"),
        "classify": subject_of(classifier.model_, texts[0][3], texts[1][3]),
        "regress": subject_of(regressor.model_, series[2]),
        "tag": subject_of(tagger.model_, words[5], [w[0] for w in words[5]]),
    }


@pytest.mark.parametrize("task", ["language", "classify", "regress", "tag"])
def test_integrated_gradients_are_complete(subjects: dict[str, Subject], task: str) -> None:
    subject = subjects[task]
    found = integrated_gradients(subject)
    assert found.gap is not None
    assert found.gap <= 0.01
    assert found.contributions.sum() == pytest.approx(found.change, rel=0.011)
    with torch.no_grad():
        scores = subject.answer(subject.known[0], subject.place)[0]
    assert found.score == pytest.approx(float(scores.max()))
    assert found.output == subject.name(int(scores.argmax()))
    assert len(found.contributions) == len(subject.labels)
    assert [step for step, _, _ in found.strongest(3)] == np.argsort(-np.abs(found.contributions))[:3].tolist()


def test_the_answer_is_that_of_the_model(subjects: dict[str, Subject], texts: tuple[list[str], list[str]]) -> None:
    subject = subjects["classify"]
    logits = subject.answer(subject.known[0], None)[0, 0].detach()
    np.testing.assert_allclose(logits.numpy(), subject.model.outputs([texts[0][3]])[0], atol=1e-5)
    language = subjects["language"]
    nats = surprise(language).nats
    assert nats.sum() == pytest.approx(language.model.score(["abca bc aab c"])[0].nats, rel=1e-4)


@pytest.mark.parametrize("task", ["language", "regress"])
def test_occlusion_is_the_loss_of_leaving_a_step_out(subjects: dict[str, Subject], task: str) -> None:
    subject = subjects[task]
    found = occlusion(subject)
    x, baseline = subject.known
    changed = x.clone()
    changed[0, 4] = baseline
    with torch.no_grad():
        scores = subject.answer(torch.cat([x, changed]), subject.place)
    best = int(scores[0].argmax())
    assert found.contributions[4] == pytest.approx(float(scores[0, best] - scores[1, best]), abs=1e-5)
    whole = occlusion(subject, width=len(subject.labels))
    assert whole.contributions.sum() == pytest.approx(whole.change, abs=1e-5)


def test_a_causal_model_gives_nothing_to_what_comes_later(subjects: dict[str, Subject]) -> None:
    found = integrated_gradients(subjects["language"], place=5)
    assert np.abs(found.contributions[:6]).min() > 0
    assert not found.contributions[6:].any()


def test_surprise_is_minus_log_p(subjects: dict[str, Subject]) -> None:
    subject = subjects["tag"]
    found = surprise(subject, most=3)
    p = subject.answer(subject.known[0], None)[0].double().softmax(1).detach().numpy()
    assert subject.targets is not None
    np.testing.assert_allclose(np.exp(-found.nats), p[np.arange(len(p)), subject.targets], rtol=1e-6)
    np.testing.assert_allclose(found.entropy, -(p * np.log(p)).sum(1), rtol=1e-6)
    np.testing.assert_allclose(found.probabilities, -np.sort(-p, 1)[:, :3], rtol=1e-6)
    place, label, probability = found.most(1)[0]
    assert label == subject.answers[place]
    assert probability == pytest.approx(np.exp(-found.nats.max()))
    with pytest.raises(ArgumentError, match="without probabilities"):
        surprise(subjects["regress"])


def test_attention_where_there_is_any(subjects: dict[str, Subject]) -> None:
    looked = subjects["classify"].attention
    assert looked is not None
    assert looked.steps == subjects["classify"].labels
    np.testing.assert_allclose(looked.weights.sum(1), 1, rtol=1e-5)
    assert subjects["language"].attention is None


def test_states_of_a_subject_carry_its_labels(subjects: dict[str, Subject]) -> None:
    (states,) = subjects["language"].states()
    assert "".join(states.labels[1:]) == "abca bc aab c"[: len(states) - 1]
    assert any(s.labels == subjects["tag"].labels for s in subjects["tag"].states())


def test_what_is_not_there_is_refused(subjects: dict[str, Subject]) -> None:
    with pytest.raises(ArgumentError, match="place is 99"):
        integrated_gradients(subjects["tag"], place=99)
    with pytest.raises(ArgumentError, match="output is 99"):
        integrated_gradients(subjects["tag"], output=99)
    with pytest.raises(ArgumentError, match="width is 0"):
        occlusion(subjects["tag"], width=0)
    with pytest.raises(ArgumentError, match="not empty"):
        subject_of(subjects["language"].model, "")
