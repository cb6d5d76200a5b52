"""Products in sixteen bits: where they are refused, what they cost in accuracy, and float16's scaled loss."""

from __future__ import annotations

import signal

import pytest
import torch

from train.toy import Recorder, Source, Toy, equal, settings, weights
from unrolled.errors import ArgumentError
from unrolled.train import Checkpoints, Trainer, precision


@pytest.fixture
def everything(monkeypatch):
    """A CPU that has all types; torch computes them anyway, only slower."""
    monkeypatch.setattr(precision, "supported", lambda name, device: True)


def losses(name: str, run=None, **options) -> tuple[list[float], Toy]:
    toy, recorder = Toy(), Recorder()
    Trainer(toy, Source(), settings(precision=name, **options), run, [recorder]).fit()
    return [step.loss for step in recorder.steps], toy


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_it_learns_like_float32(everything, name):
    plain, _ = losses("float32")
    found, toy = losses(name)
    assert found != plain
    assert found == pytest.approx(plain, rel=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in toy.module.parameters())


def test_a_device_without_the_type_refuses(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match="precision is float16, but this cpu device has no such products; give flo"):
        losses("float16")
    assert precision.supported("float32", torch.device("cpu"))
    with pytest.raises(ArgumentError, match="precision='int4' is not known; choose one of float32, bfloat16, float16"):
        losses("int4")


def test_the_loss_is_scaled_and_an_overflow_lowers_the_factor(everything, tmp_path):
    """A factor that is far too high at first: steps without effect until it fits, and no word of bad steps."""
    toy, recorder = Toy(), Recorder()
    trainer = Trainer(toy, Source(), settings(precision="float16"), tmp_path, [recorder])
    trainer._learner.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**26)
    before = weights(toy.module)
    stuck = []
    recorder.after = lambda step: stuck.append(
        all(torch.equal(before[name], p) for name, p in toy.module.named_parameters())
    )
    result = trainer.fit()
    assert stuck[0]
    assert not stuck[-1]
    assert recorder.remarks == []
    assert result.bad_steps == 0
    assert len(recorder.steps) == 17
    scale = Checkpoints(tmp_path).load().tensors["scale"]["scale"]
    assert 1 < float(scale) < 2.0**26


def test_float16_resumes_exactly(everything, tmp_path):
    _, whole = losses("float16", tmp_path / "whole")
    stop = Recorder(lambda step: step.step == 7 and signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        Trainer(Toy(), Source(), settings(precision="float16"), tmp_path / "parts", [stop]).fit()
    again = Toy(seed=2)
    Trainer(again, Source(), settings(precision="float16"), tmp_path / "parts").fit(resume=True)
    assert equal(weights(whole.module), weights(again.module))
