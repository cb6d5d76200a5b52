"""Progress, metrics.jsonl and TensorBoard."""

from __future__ import annotations

import errno
import io
import json
import signal
import threading
from pathlib import Path

import pytest
from rich.console import Console

from train.toy import Recorder, Source, Toy, settings
from unrolled.errors import RunError
from unrolled.train import (
    Evaluation,
    MetricsFile,
    Plan,
    ProgressBar,
    Start,
    TensorBoardWriter,
    Trainer,
    TrainResult,
    tensorboard_installed,
)
from unrolled.train.progress import clock


def test_events_come_in_order():
    recorder = Recorder()
    result = Trainer(Toy(), Source(), settings(total_steps=8), None, [recorder]).fit()
    kinds = [type(event) for event in recorder.events]
    assert kinds == [Start, Plan, Evaluation, Evaluation, TrainResult]
    assert recorder.events[-1] == result
    assert [step.step for step in recorder.steps] == list(range(1, 9))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_file(tmp_path):
    path, recorder = tmp_path / "run" / "metrics.jsonl", Recorder()
    Trainer(Toy(), Source(), settings(), None, [MetricsFile(path, every=5), recorder]).fit()
    train = [line for line in lines(path) if line["part"] == "train"]
    valid = [line for line in lines(path) if line["part"] == "valid"]
    assert [line["step"] for line in train] == [5, 10, 15]
    assert [line["step"] for line in valid] == [4, 8, 12, 16, 17]
    assert train[1]["loss"] == pytest.approx(sum(step.loss for step in recorder.steps[5:10]) / 5)
    best = min(valid, key=lambda line: line["loss"])
    assert best["best"]
    assert best["accuracy"] == pytest.approx(1 / (1 + best["loss"]))


def test_a_resumed_run_has_every_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"

    def fit(resume: bool, stop: int | None) -> None:
        after = Recorder(lambda step: step.step == stop and signal.raise_signal(signal.SIGINT))
        Trainer(Toy(), Source(), settings(), tmp_path, [MetricsFile(path, every=1), after]).fit(resume)

    with pytest.raises(KeyboardInterrupt):
        fit(False, 9)
    # What a killed process leaves: steps after the last checkpoint and a cut line.
    with path.open("a") as file:
        file.write('{"step": 10, "part": "train"}\n{"step": 11, "pa')
    fit(True, None)
    assert [line["step"] for line in lines(path) if line["part"] == "train"] == list(range(1, 18))


def test_a_damaged_metrics_file_is_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    stop = Recorder(lambda step: step.step == 9 and signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        Trainer(Toy(), Source(), settings(), tmp_path, [MetricsFile(path, every=1), stop]).fit()
    path.write_text(path.read_text().replace('"step": 3,', '"step: 3,'))
    with pytest.raises(RunError, match=r"metrics.jsonl, row 3 is no line of metrics; repair it"):
        Trainer(Toy(), Source(), settings(), tmp_path, [MetricsFile(path)]).fit(resume=True)


def test_metrics_file_holds_strict_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    toy = Toy(values=[float("inf"), float("nan"), 1.0, 1.0, 1.0])
    Trainer(toy, Source(), settings(), None, [MetricsFile(path)]).fit()
    losses = [line["loss"] for line in lines(path) if line["part"] == "valid"]
    assert losses == [None, None, 1.0, 1.0, 1.0]


def test_metrics_file_on_a_full_disk(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunError, match=r"metrics.jsonl cannot be written \(No space left on device\); make room"):
        Trainer(Toy(), Source(), settings(), None, [MetricsFile(tmp_path / "metrics.jsonl")]).fit()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_metrics_file_on_a_disk_that_fills_up(tmp_path):
    observer = MetricsFile(tmp_path / "metrics.jsonl", every=3)
    before = observer.on_start

    def start_full(event) -> None:
        before(event)
        observer._file.close()
        observer._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115

    observer.on_start = start_full
    with pytest.raises(RunError, match=r"metrics.jsonl cannot be written \(No space left on device\)") as caught:
        Trainer(Toy(), Source(), settings(), None, [observer]).fit()
    assert "\n" not in str(caught.value)


def screen(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=140)


def test_progress_bar_on_a_terminal(capsys):
    console = screen(True)
    bar = ProgressBar("characters", console=console, interval=0.0)
    result = Recorder(lambda step: step.step == 2 and print("a result"))
    Trainer(Toy(), Source(), settings(total_steps=None, max_time=0.5), None, [bar, result]).fit()
    shown = console.file.getvalue()
    for part in ("steps", "loss ", "valid loss ", "characters/s", "left"):
        assert part in shown
    assert capsys.readouterr().out == "a result\n"


def test_progress_without_a_terminal_is_a_line_an_evaluation():
    console = screen(False)
    Trainer(Toy(), Source(), settings(), None, [ProgressBar(console=console, metric="accuracy")]).fit()
    shown = console.file.getvalue().splitlines()
    assert [line.split(" steps")[0] for line in shown] == [f"{n}/17" for n in (4, 8, 12, 16, 17)]
    assert all("valid accuracy 0." in line for line in shown)


def test_progress_goes_to_standard_error(capsys):
    Trainer(Toy(), Source(), settings(), None, [ProgressBar()]).fit()
    out, err = capsys.readouterr()
    assert out == ""
    assert "17/17 steps" in err


def test_the_bar_is_taken_down_when_training_fails():
    console = screen(True)
    bar = ProgressBar(console=console)
    with pytest.raises(ZeroDivisionError):
        Trainer(Toy(), Source(), settings(), None, [bar, Recorder(lambda step: 1 / 0)]).fit()
    assert bar._bar.finished or not bar._bar.live.is_started


def test_times_read_well():
    assert [clock(s) for s in (0.4, 65, 3725)] == ["0:00", "1:05", "1:02:05"]


@pytest.mark.skipif(not tensorboard_installed(), reason="TensorBoard is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recorder = Recorder()
    Trainer(Toy(), Source(), settings(), None, [TensorBoardWriter(tmp_path, every=2), recorder]).fit()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    read = {event.step: event.value for event in events.Scalars("train/loss")}
    assert list(read) == list(range(2, 17, 2))
    assert read[4] == pytest.approx(recorder.steps[3].loss, rel=1e-5)
    assert [event.step for event in events.Scalars("valid/accuracy")] == [4, 8, 12, 16, 17]


@pytest.mark.skipif(not tensorboard_installed(), reason="tensorboard is not installed")
@pytest.mark.parametrize("good", [0, 9])
def test_tensorboard_on_a_full_disk(tmp_path, monkeypatch, capfd, good):
    from tensorboard.summary.writer.record_writer import RecordWriter

    hook, left, write = threading.excepthook, iter(range(good)), RecordWriter.write

    def full(self, data):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, data)

    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(RunError, match=r"events cannot be written \(No space left on device\); make room"):
        Trainer(Toy(), Source(), settings(), None, [TensorBoardWriter(tmp_path / "events", every=1)]).fit()
    assert capfd.readouterr() == ("", "")
    assert threading.excepthook is hook


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("unrolled.train.tensorboard.tensorboard_installed", lambda: False)
    with pytest.raises(RunError, match=r"TensorBoard is not installed.*pip install unrolled\[track\]"):
        TensorBoardWriter(tmp_path)
