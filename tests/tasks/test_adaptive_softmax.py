from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.tasks import TASKS, Common, LanguageModel, open_run
from unrolled.tasks.language import LanguageTask
from unrolled.train import Interrupted, Observer, Step


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of very different frequency, the rare ones in a few places only."""
    rng = np.random.default_rng(5)
    share = 1 / np.arange(1, 61)
    words = rng.choice([f"w{i}" for i in range(60)], p=share / share.sum(), size=700)
    path = tmp_path_factory.mktemp("story") / "story.txt"
    path.write_text(" ".join(words) + "\n", encoding="utf-8")
    return path


def train(story: Path, out: Path, *observers: Observer, **options: Any) -> Any:
    settings: dict[str, Any] = {"units": "word", "hidden": 16, "embedding": 8, "batch_size": 2, "window": 4}
    wanted = TASKS["language"].options(softmax="adaptive", **{**settings, **options})
    return TASKS["language"].train(wanted, Common(data=story, out=out, epochs=2, threads=1), observers)


@pytest.fixture(scope="module")
def model(story: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageTask:
    out = tmp_path_factory.mktemp("adaptive") / "run"
    train(story, out)
    found = open_run(out)
    assert isinstance(found, LanguageTask)
    return found


def test_a_saved_run_scores_and_evaluates(model: LanguageTask, story: Path) -> None:
    text = story.read_text()[:300]
    ids = torch.from_numpy(model.encode(text))[None]
    with torch.no_grad():
        logits = model.module(ids[:, :-1])[0][0]
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(len(logits)))
    wanted = float(functional.cross_entropy(logits.double(), ids[0, 1:], reduction="sum"))
    assert model.score([text])[0].nats == pytest.approx(wanted, rel=1e-5)
    assert model.evaluate(story)["loss"] < math.log(len(model.vocabulary))


def test_a_saved_run_generates_and_completes(model: LanguageTask) -> None:
    assert set("".join(model.generate("w0 w1", 20, seed=1)).split()) <= {f"w{i}" for i in range(60)}
    found = model.complete("w0 w1", 5)
    with torch.no_grad():
        logits = model.module(torch.from_numpy(model.encode("w0 w1"))[None])[0][0, -1]
    for word, p in found:
        assert p == pytest.approx(math.exp(logits[int(model.vocabulary.encode(word)[-1])]), rel=1e-5)


def test_a_resumed_run_equals_one_that_was_never_stopped(story: Path, tmp_path: Path) -> None:
    class Stop(Observer):
        def on_step(self, step: Step) -> None:
            if step.step == 1:  # a cluster of rare words has had no gradient yet
                signal.raise_signal(signal.SIGINT)

    train(story, tmp_path / "whole", batch_size=1, window=2)
    with pytest.raises(Interrupted):
        train(story, tmp_path / "parts", Stop(), batch_size=1, window=2)
    kept = load_file(next((tmp_path / "parts").glob("checkpoint-*")) / "optimiser.safetensors")
    assert not any("tail.0" in name for name in kept)
    TASKS["language"].train(TASKS["language"].options(), Common(out=tmp_path / "parts", resume=True))
    whole, parts = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name


def test_refusals(story: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there are 5 entries and 16 features; choose the full softmax"):
        train(story, tmp_path / "run", vocabulary_size=5)
    with pytest.raises(ArgumentError, match="leave tied or adaptive out"):
        train(story, tmp_path / "run", tied=True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ArgumentError, match="softmax is 'partial', it must be full or adaptive"):
        LanguageModel(softmax="partial").fit(story.read_text())
