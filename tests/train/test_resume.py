"""A run that was stopped and resumed gives the same numbers, to the last bit, as one that never stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch

from train.toy import Recorder, Source, Toy, equal, settings, weights
from unrolled.errors import RunError
from unrolled.train import POINTER, Checkpoints, Interrupted, Trainer

OPTIONS = [
    {},
    {"optimiser": "sgd"},
    {"optimiser": "sgd", "momentum": 0.0, "decay": "linear"},
    {"ema": 0.9, "decay": "constant"},
    {"clip": None, "patience": 2},
    {"warmup": 0.5, "epochs": 3, "total_steps": None},
]


def interrupt_at(*steps: int):
    def after(step) -> None:
        if step.step in steps:
            signal.raise_signal(signal.SIGINT)

    return after


def last_tensors(run: Path) -> dict:
    checkpoint = Checkpoints(run).load()
    return {f"{file}/{name}": t for file, named in checkpoint.tensors.items() for name, t in named.items()}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, options):
    whole, parts = Toy(), Toy()
    recorder = Recorder()
    result = Trainer(whole, Source(), settings(**options), tmp_path / "whole", [recorder]).fit()

    # 7 lies within an epoch of 5 steps, 10 at its end, 11 just after an end.
    losses = []
    for step in (7, 10, 11):
        part = Recorder(interrupt_at(step))
        with pytest.raises(Interrupted, match=f"interrupted after step {step} and saved in .*--resume"):
            Trainer(parts, Source(), settings(**options), tmp_path / "parts", [part]).fit(resume=step > 7)
        losses += [s.loss for s in part.steps]
        parts = Toy(seed=step)
    last = Recorder()
    resumed = Trainer(parts, Source(), settings(**options), tmp_path / "parts", [last]).fit(resume=True)
    losses += [s.loss for s in last.steps]

    assert losses == [s.loss for s in recorder.steps]
    assert equal(weights(whole.module), weights(parts.module))
    assert equal(last_tensors(tmp_path / "whole"), last_tensors(tmp_path / "parts"))
    assert (resumed.step, resumed.best_step, resumed.metrics) == (result.step, result.best_step, result.metrics)
    assert resumed.resumed_from == 11


def test_saving_does_not_change_the_numbers(tmp_path):
    with_run, without = Toy(), Toy()
    Trainer(with_run, Source(), settings(checkpoint_steps=1), tmp_path).fit()
    Trainer(without, Source(), settings()).fit()
    assert equal(weights(with_run.module), weights(without.module))


def test_finished_run_says_so(tmp_path):
    Trainer(Toy(values=[2.0, 1.0, 3.0, 3.0, 3.0]), Source(), settings(), tmp_path).fit()
    toy, recorder = Toy(seed=3), Recorder()
    result = Trainer(toy, Source(), settings(), tmp_path, [recorder]).fit(resume=True)
    assert (result.stopped, result.step, result.resumed_from) == ("finished", 17, 17)
    assert recorder.steps == []
    best = safetensors.torch.load_file(tmp_path / "checkpoint-17" / "best.safetensors")
    last = safetensors.torch.load_file(tmp_path / "checkpoint-17" / "weights.safetensors")
    assert result.best_step == 8
    assert equal(weights(toy.module), best)
    assert not equal(best, last)


def test_more_epochs_go_on(tmp_path):
    Trainer(Toy(), Source(), settings(total_steps=None, epochs=2), tmp_path).fit()
    result = Trainer(Toy(), Source(), settings(total_steps=None, epochs=3), tmp_path).fit(resume=True)
    assert (result.resumed_from, result.step) == (10, 15)


def test_resume_before_the_first_checkpoint_starts_anew(tmp_path):
    whole, again = Toy(), Toy()
    Trainer(whole, Source(), settings()).fit()
    assert Trainer(again, Source(), settings(), tmp_path).fit(resume=True).resumed_from == 0
    assert equal(weights(whole.module), weights(again.module))


@pytest.mark.parametrize(
    ("changed", "name"), [({"learning_rate": 0.5}, "learning_rate"), ({"betas": (0.8, 0.9)}, "betas")]
)
def test_other_choices_are_refused(tmp_path, changed, name):
    Trainer(Toy(), Source(), settings(), tmp_path).fit()
    with pytest.raises(RunError, match=f"started with {name}=.* only the time, epochs, device and threads may change"):
        Trainer(Toy(), Source(), settings(**changed), tmp_path).fit(resume=True)


def test_threads_may_change(tmp_path):
    Trainer(Toy(), Source(), settings(threads=1), tmp_path).fit()
    Trainer(Toy(), Source(), settings(threads=2), tmp_path).fit(resume=True)


def test_second_run_in_one_folder_is_refused(tmp_path):
    Trainer(Toy(), Source(), settings(), tmp_path).fit()
    with pytest.raises(RunError, match="already holds checkpoint-17; give --resume or another folder"):
        Trainer(Toy(), Source(), settings(), tmp_path).fit()


def test_sigterm_saves_and_ends_with_the_code_of_its_number(tmp_path):
    whole, parts = Toy(), Toy()
    Trainer(whole, Source(), settings()).fit()
    before = signal.getsignal(signal.SIGTERM)
    stop = Recorder(lambda step: step.step == 7 and signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match=r"interrupted after step 7 and saved in .*--resume") as caught:
        Trainer(parts, Source(), settings(), tmp_path, [stop]).fit()
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    again = Toy(seed=3)
    assert Trainer(again, Source(), settings(), tmp_path).fit(resume=True).resumed_from == 7
    assert equal(weights(whole.module), weights(again.module))


def test_a_damaged_checkpoint_costs_its_steps_and_nothing_else(tmp_path):
    whole, recorder = Toy(), Recorder()
    Trainer(whole, Source(), settings()).fit()
    stop = Recorder(interrupt_at(14))
    with pytest.raises(Interrupted):
        Trainer(Toy(), Source(), settings(checkpoint_steps=5), tmp_path, [stop]).fit()
    path = tmp_path / "checkpoint-14" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[::-1])
    again = Toy(seed=3)
    result = Trainer(again, Source(), settings(), tmp_path, [recorder]).fit(resume=True)
    assert result.resumed_from == 10
    assert "checkpoint-14 is damaged" in recorder.remarks[0]
    assert "going on from checkpoint-10" in recorder.remarks[0]
    assert equal(weights(whole.module), weights(again.module))


def test_interrupt_without_a_folder_says_that_nothing_was_saved():
    with pytest.raises(Interrupted, match="after step 2, and not saved because there is no run folder"):
        Trainer(Toy(), Source(), settings(), None, [Recorder(interrupt_at(2))]).fit()


def test_second_interrupt_ends_at_once():
    def twice(step) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before, recorder = signal.getsignal(signal.SIGINT), Recorder(twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        Trainer(Toy(), Source(), settings(), None, [recorder]).fit()
    assert not isinstance(caught.value, Interrupted)
    assert recorder.events[-1].stopped == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


KILLED = """
import sys
from pathlib import Path
from train.toy import Recorder, Source, Toy, settings
from unrolled.train import Trainer
report = Recorder(lambda step: print(step.step, flush=True))
options = settings(total_steps=400, evaluate_every=50, checkpoint_steps=5)
Trainer(Toy(), Source(), options, Path(sys.argv[1]), [report]).fit(resume=True)
"""


def test_killed_process_loses_nothing_before_its_last_checkpoint(tmp_path):
    whole, run = Toy(), tmp_path / "run"
    options = settings(total_steps=400, evaluate_every=50, checkpoint_steps=5)
    Trainer(whole, Source(), options).fit()

    command = [sys.executable, "-c", KILLED, str(run)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for steps in (12, 150):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            while int(process.stdout.readline()) < steps:
                pass
            process.send_signal(signal.SIGKILL)
            seen = process.stdout.read().split()
        assert process.returncode == -signal.SIGKILL
        saved = int(json.loads((run / POINTER).read_text())["checkpoint"].split("-")[1])
        assert saved >= (int((seen or [steps])[-1]) - 1) // 5 * 5

    toy = Toy(seed=8)
    result = Trainer(toy, Source(), options, run).fit(resume=True)
    assert 0 < result.resumed_from < 400
    assert equal(weights(whole.module), weights(toy.module))
    assert [path.name for path in run.iterdir() if "partial" in path.name] == []
