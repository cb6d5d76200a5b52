from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import ArgumentError, DataError, RunError, TrainingError, UsageError
from unrolled.tasks import TASKS, ClassifyOptions, open_run
from unrolled.train import Evaluation, Interrupted, Observer, Plan, Start, Step
from unrolled.tune import TuneCommon
from unrolled.tune.search import BEST, Search, tune
from unrolled.tune.watch import Watch

pytest.importorskip("optuna")

SPACE = "hidden=4..8,learning_rate=1e-3..3e-2:log,cell=lstm|gru"
TASK = TASKS["classify"]


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(5)
    rows = [(f"it is {rng.choice(('good', 'fine'))} {place}", "happy") for place in range(20)]
    rows += [(f"it is {rng.choice(('bad', 'poor'))} {place}", "sad") for place in range(20)]
    path = tmp_path_factory.mktemp("moods") / "moods.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


def small(**more: Any) -> ClassifyOptions:
    return ClassifyOptions(**{"embedding": 4, "batch_size": 16} | more)


def common(data: Path, out: Path, **more: Any) -> TuneCommon:
    return TuneCommon(**{"data": data, "out": out, "epochs": 2, "threads": 1, "trials": 3, "search": SPACE} | more)


class Watching(Watch):
    """Remembers what it hears, and lets `observer` look at each training."""

    def __init__(self, *observers: Observer) -> None:
        self.looking = observers
        self.ended: list[int] = []
        self.lost: list[int] = []

    def observers(self) -> Sequence[Observer]:
        return self.looking

    def on_lost(self, numbers: Sequence[int]) -> None:
        self.lost += numbers

    def on_trial(self, search: Search, number: int) -> None:
        self.ended.append(number)


class FailsOnce(Observer):
    def __init__(self, error: BaseException, after: int = 2) -> None:
        self.error: BaseException | None = error
        self.after = after

    def on_step(self, step: Step) -> None:
        if step.step == self.after and self.error is not None:
            error, self.error = self.error, None
            raise error


def test_trials_are_runs_and_the_best_is_named(moods: Path, tmp_path: Path) -> None:
    watch = Watching()
    found = tune(TASK, small(), common(moods, tmp_path / "a", trials=2), watch)
    records = found.records()
    assert [one.number for one in records] == watch.ended == [0, 1]
    assert {one.state for one in records} == {"complete"}
    assert records[0].options["learning_rate"] == 2e-3  # the task's own is where a search begins
    best = json.loads((tmp_path / "a" / BEST).read_text())
    assert best["value"] == max(one.value for one in records if one.value is not None)
    assert best["run"] == f"trial-{best['trial']:03d}"
    for one in records:
        model = open_run(tmp_path / "a" / str(one.run))
        assert model.plan.hidden == one.options["hidden"]
    words = best["command"].split()
    assert words[:4] == ["unrolled", "train", "classify", str(moods)] and "--out" not in words
    assert f"--hidden {best['options']['hidden']}" in best["command"]
    again = tune(TASK, small(), common(moods, tmp_path / "b", trials=2))
    assert [(one.options, one.value) for one in again.records()] == [(one.options, one.value) for one in records]
    other = tune(TASK, small(), common(moods, tmp_path / "c", seed=1, trials=2))
    assert other.records()[1].options != records[1].options


def test_torchrun_is_refused(moods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UsageError, match="start the same `unrolled tune` several times, without torchrun"):
        tune(TASK, small(), common(moods, tmp_path / "study"))
    assert not (tmp_path / "study").exists()


def test_a_study_goes_on_and_is_not_mixed_with_another(moods: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    tune(TASK, small(), common(moods, out, trials=1))
    with pytest.raises(RunError, match="was started with epochs=2 and epochs=3 is asked for now"):
        tune(TASK, small(), common(moods, out, epochs=3))
    with pytest.raises(RunError, match="was started with search=hidden"):
        tune(TASK, small(), common(moods, out, search="hidden=4..9"))
    with pytest.raises(RunError, match="was started with embedding=4 and embedding=5"):
        tune(TASK, small(embedding=5), TuneCommon(out=out, resume=True))
    with pytest.raises(RunError, match="is a study of the task classify"):
        tune(TASKS["language"], TASKS["language"].options(), TuneCommon(out=out, resume=True))
    found = tune(TASK, ClassifyOptions(), TuneCommon(out=out, resume=True, trials=2))
    assert [one.state for one in found.records()] == ["complete"] * 2
    assert found.options == small() and found.common.epochs == 2


def test_what_goes_wrong_in_a_trial_fails_it_alone(moods: Path, tmp_path: Path) -> None:
    watch = Watching(FailsOnce(TrainingError("step 2: the loss is nan")))
    found = tune(TASK, small(), common(moods, tmp_path / "s", trials=2), watch)
    assert [(one.state, one.why) for one in found.records()] == [
        ("failed", "step 2: the loss is nan"),
        ("complete", None),
    ]


def test_an_interrupted_trial_is_taken_up_where_it_was(moods: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    with pytest.raises(Interrupted, match=r"the study is whole; go on with --resume --out .*/s$"):
        tune(
            TASK,
            small(),
            common(moods, out, trials=2, checkpoint_every="1steps"),
            Watching(FailsOnce(Interrupted("stop"))),
        )
    starts: list[int] = []

    class Starts(Observer):
        def on_start(self, start: Start) -> None:
            starts.append(start.step)

    found = tune(TASK, ClassifyOptions(), TuneCommon(out=out, resume=True), Watching(Starts()))
    assert [(one.state, one.run) for one in found.records()] == [("complete", "trial-000"), ("complete", "trial-002")]
    assert starts == [1, 0]
    whole = tune(TASK, small(), common(moods, tmp_path / "t", trials=1, checkpoint_every="1steps"))
    assert whole.records()[0].value == found.records()[0].value


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_that_lags_is_pruned(moods: Path, tmp_path: Path, pruner: str) -> None:
    import optuna

    from unrolled.tune.reporter import Pruned, Reporter
    from unrolled.tune.search import _pruner

    told = TuneCommon(pruner=pruner, trials=12)
    study = optuna.create_study(direction="maximize", pruner=_pruner(told), study_name="s")
    pruned = 0
    for place in range(12):
        trial = study.ask()
        reporter = Reporter(trial, "accuracy")
        reporter.on_plan(Plan(40, 0, 0, 8, None, 5))
        try:
            for step in range(8, 41, 8):
                accuracy = (0.9 - 0.05 * place) * step / 40
                reporter.on_evaluate(Evaluation(step, 0, {"accuracy": accuracy}, True, 1.0))
        except Pruned:
            pruned += 1
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, accuracy)
    assert pruned >= 3 and study.best_trial.number == 0


def test_a_pruned_trial_leaves_a_run_that_opens(moods: Path, tmp_path: Path) -> None:
    from unrolled.tune.reporter import Pruned

    found = tune(TASK, small(), common(moods, tmp_path / "s", trials=2), Watching(FailsOnce(Pruned("lags"), after=3)))
    assert [one.state for one in found.records()] == ["pruned", "complete"]
    open_run(tmp_path / "s" / "trial-000")


def test_what_no_trial_can_be_made_with_ends_the_search(moods: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    with pytest.raises(DataError, match="there is no such file"):
        tune(TASK, small(), common(tmp_path / "no.csv", out))
    assert not out.exists()
    with pytest.raises(ArgumentError, match="no validation part; give --valid FILE"):
        tune(TASK, small(validation=0.0), common(moods, out))
    with pytest.raises(RunError, match="something other than a study"):
        tune(TASK, small(), common(moods, moods.parent))
    with pytest.raises(RunError, match=r"nowhere.*cannot be used .unable to open"):
        tune(TASK, small(), common(moods, tmp_path / "t", storage=f"sqlite:///{tmp_path}/nowhere/s.db"))
    with pytest.raises(RunError, match="holds no study"):
        tune(TASK, small(), TuneCommon(out=tmp_path / "u", resume=True))


def test_without_optuna_one_sentence(moods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ArgumentError, match=r"pip install 'unrolled\[tune\]'"):
        tune(TASK, small(), common(moods, tmp_path / "s"))


def start(moods: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    words = ["tune", "classify", str(moods), "--out", str(out), "--embedding", "4", "--search", SPACE, "--threads", "1"]
    return subprocess.Popen(
        [sys.executable, "-m", "unrolled", *words, *more, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_share_a_study_in_sqlite(moods: Path, tmp_path: Path) -> None:
    both = [start(moods, tmp_path / "s", "--trials", "3", "--epochs", "1") for _ in range(2)]
    answers = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    (trials,) = [found for out, _ in answers if len(found := done(json.loads(out))) == 3][:1]
    assert len({one["run"] for one in trials}) == 3
    assert len({one["options"]["learning_rate"] for one in trials}) == 3  # not the same numbers twice


def done(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in answer["trials"] if one["state"] == "complete"]


@pytest.mark.skipif(os.name != "posix", reason="whether a process has ended is asked of POSIX")
def test_a_killed_trial_is_tried_again(moods: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    process = start(moods, out, "--trials", "1", "--epochs", "100000")
    until = time.monotonic() + 240
    while not (out / "trial-000" / "config.json").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    watch = Watching()
    found = tune(TASK, ClassifyOptions(), TuneCommon(out=out, resume=True, trial_time=None, max_time=1e-3), watch)
    assert watch.lost == [0]
    assert [(one.state, one.run) for one in found.records()] == [("waiting", "trial-000")]
