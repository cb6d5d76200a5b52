"""The gradient through time as training goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled import cells
from unrolled.cli.main import main
from unrolled.errors import ArgumentError, RunError
from unrolled.inspect.observer import GradientObserver
from unrolled.layers import Recurrent
from unrolled.tasks import TASKS, Common
from unrolled.train import Start, Step


@pytest.fixture
def story(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    path = tmp_path / "story.txt"
    path.write_text("".join(rng.choice(list("abcd "), 1200)), encoding="utf-8")
    return path


def train(story: Path, out: Path, observers: tuple[GradientObserver, ...], **options: Any) -> dict[str, float]:
    wanted = TASKS["language"].options(hidden=8, embedding=4, batch_size=4, window=20, **options)  # type: ignore[call-arg]
    common = Common(data=story, out=out, epochs=2, threads=1)
    return TASKS["language"].train(wanted, common, observers).valid


def test_readings_are_made_and_training_stays_what_it_is(story: Path, tmp_path: Path) -> None:
    said: list[str] = []
    observer = GradientObserver(5, path=tmp_path / "gradients.jsonl", tell=said.append)
    watched = train(story, tmp_path / "a", (observer,), layers=2, dropout=0.2)
    plain = train(story, tmp_path / "b", (), layers=2, dropout=0.2)
    assert watched["loss"] == pytest.approx(plain["loss"], rel=1e-3)
    assert [reading.step for reading in observer.readings] == [5, 10, 15, 20, 25]
    for reading in observer.readings:
        assert [str(g.place) for g in reading.gradients] == ["layer 1", "layer 2"]
        for gradient in reading.gradients:
            assert gradient.distances[0] == 0
            assert gradient.distances[-1] == 19
            assert (gradient.loss["h"] > 0).all()
    assert set(observer.verdicts) == {"layer 1", "layer 2"}
    lines = [json.loads(line) for line in (tmp_path / "gradients.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25]
    assert lines[0]["gradients"][0]["verdict"] in ("vanishing", "healthy", "exploding")
    assert said
    assert said[0].startswith("step 5: the gradient through time of layer 1 is ")


def test_the_command_writes_them_beside_the_metrics(story: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        "train",
        "language",
        str(story),
        "--out",
        str(out),
        "--hidden",
        "8",
        "--embedding",
        "4",
        "--threads",
        "1",
    ]
    command += ["--batch-size", "4", "--window", "20", "--quiet", "--gradients", "4"]
    assert main([*command, "--epochs", "1"]) == 0
    first = steps(out)
    assert first[0] == 4
    lines = out / "gradients.jsonl"
    lines.write_text(lines.read_text() + '{"step": 99999}\n{"ste')
    assert main([*command, "--epochs", "2", "--resume"]) == 0
    found = steps(out)
    assert found == list(range(4, found[-1] + 1, 4))
    assert len(found) > len(first)


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "gradients.jsonl").read_text().splitlines()]


def test_a_reading_is_the_gradient_of_the_step_itself() -> None:
    torch.manual_seed(0)
    layer = Recurrent(cells.GRU(), 3, 5).double()
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    observer = GradientObserver(1)
    observer.on_start(Start(layer, 0, 0.0, None))
    layer(x)[0][:, -1].sum().backward()
    observer.on_step(Step(1, 0, 0.0, 1, 0.0, 0.0, 0.0, x))
    (gradient,) = observer.readings[0].gradients
    with torch.enable_grad():
        state, states = None, []
        for t in range(9):
            _, state = layer.step(x[:, t], state)
            states.append(state[0][0].h)
        found = torch.autograd.grad(states[-1].sum(), states)
    wanted = np.sqrt([float(g.pow(2).sum(1).mean()) for g in found])[::-1]
    np.testing.assert_allclose(gradient.loss["h"], wanted[gradient.distances], rtol=1e-9)


def test_an_evaluation_in_between_is_not_watched() -> None:
    layer = Recurrent(cells.GRU(), 3, 5)
    observer = GradientObserver(1)
    observer.on_start(Start(layer, 0, 0.0, None))
    with torch.no_grad():
        layer(torch.randn(2, 4, 3))
    layer(torch.randn(2, 6, 3))[0].sum().backward()
    observer.on_step(Step(1, 0, 0.0, 1, 0.0, 0.0, 0.0, None))
    (gradient,) = observer.readings[0].gradients
    assert gradient.distances[-1] == 5


def test_bad_arguments_and_a_full_disk() -> None:
    with pytest.raises(ArgumentError, match="every is 0"):
        GradientObserver(0)
    layer = Recurrent(cells.GRU(), 3, 5)
    observer = GradientObserver(1, path=Path("/nowhere/gradients.jsonl"))
    observer.on_start(Start(layer, 0, 0.0, None))
    layer(torch.randn(2, 6, 3))[0].sum().backward()
    with pytest.raises(RunError, match="cannot be written"):
        observer.on_step(Step(1, 0, 0.0, 1, 0.0, 0.0, 0.0, None))
