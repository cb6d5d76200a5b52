"""A search: trials one after another, each an ordinary run folder, until there are enough or the time is up."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unrolled.errors import (
    ArgumentError,
    CellError,
    DataError,
    EngineError,
    RunError,
    TrainingError,
    UnrolledError,
    UsageError,
)
from unrolled.tasks import Common, NetworkOptions, Task
from unrolled.tasks.events import Event
from unrolled.tasks.folder import CONFIG, create_folder, options_of, plain, plain_value, write_json
from unrolled.tasks.options import changed, check_counts
from unrolled.train import Interrupted
from unrolled.train.distributed import launched
from unrolled.train.settings import RISING
from unrolled.tune.options import TuneCommon
from unrolled.tune.reporter import PARTS, Pruned, Reporter
from unrolled.tune.space import Dimension, default_space, parse_space, settled_default
from unrolled.tune.study import (
    DATABASE,
    Record,
    forget,
    is_surplus,
    mark_process,
    mark_surplus,
    need_optuna,
    open_study,
    records,
    retry_lost,
    share_settings,
    storage_errors,
    storage_url,
    try_again,
)
from unrolled.tune.watch import Watch

if TYPE_CHECKING:
    import optuna
    from _typeshed import DataclassInstance

BEST = "best.json"
# What a process that joins or goes on may choose for itself.
_OWN = {"more", "out", "max_time", "device", "threads", "resume", "trials", "storage", "checkpoint_every", "keep"}
_LEAST_SHARE = 0.8

O = TypeVar("O", bound="DataclassInstance")


@dataclass
class Search:
    """A study that is open, with what every trial of it is made from."""

    task: Task
    options: NetworkOptions
    common: TuneCommon
    space: tuple[Dimension, ...]
    seconds_each: float | None
    study: optuna.Study
    out: Path

    @property
    def metric(self) -> str:
        return self.task.model.metric

    def records(self) -> list[Record]:
        """The trials so far, by their numbers."""
        return records(self.study)

    def best(self) -> Record | None:
        """The complete trial with the best metric."""
        done = [one for one in self.records() if one.state == "complete" and one.value is not None]
        sign = -1 if self.metric in RISING else 1
        return min(done, key=lambda one: (sign * (one.value or 0.0), one.number), default=None)

    def command(self, record: Record) -> str:
        """The command that trains with the choices of a trial."""
        words = ["unrolled", "train", self.task.name, *_words(replace(self.options, **record.options))]
        common = self.common.of_trial(self.out, None, resume=False)
        data = [] if common.data is None else [str(common.data)]
        return shlex.join([*words[:3], *data, *words[3:], *_words(common, without=("data", "out", "epochs"))])

    def importance(self) -> dict[str, float]:
        """How much of the differences between complete trials each option explains (PED-ANOVA), most first.

        Empty for fewer than eight.
        """
        import optuna

        values = [one.value for one in self.records() if one.state == "complete"]
        if len(values) < 8 or len(set(values)) < 2:
            return {}
        return dict(optuna.importance.get_param_importances(self.study))


def tune(task: Task, options: NetworkOptions, common: TuneCommon, watch: Watch | None = None) -> Search:
    """Open or join the study in `common.out` and try until there are `common.most` trials or the time is up.

    Killed at any moment it loses the trial at hand, which the next process goes on with. Raises UsageError (search),
    RunError (study), ArgumentError and DataError (what no trial could be made with), Interrupted.
    """
    need_optuna()
    began = time.perf_counter()
    watch = watch or Watch()
    _check(task, options, common)
    if common.out is None:
        common = replace(common, out=create_folder(None, f"tune-{task.name}"))
    url = storage_url(_folder(common), common.storage)
    with storage_errors(url):
        search, made = _open(task, options, common, url)
        watch.on_study(search)
        try:
            _try(search, watch, began)
        except Interrupted as stop:
            sentence = f"interrupted, and the study is whole; go on with --resume --out {search.out}"
            raise Interrupted(sentence, stop.code - 128) from None
        except UnrolledError:
            begun = any(search.out.glob("trial-*")) or any(one.state != "waiting" for one in search.records())
            if made and not begun:  # such as a file that is not there: the name is free again
                forget(search.study, None if common.storage else search.out)
            raise
    return search


def _check(task: Task, options: NetworkOptions, common: TuneCommon) -> None:
    if common.resume and common.out is None:
        raise UsageError("--resume needs the study to go on with; give --out STUDY.")
    if common.data is None and not common.resume:
        raise UsageError(f"unrolled tune {task.name} needs a file or a folder to train on, or --resume --out STUDY.")
    if launched():
        raise UsageError(
            "trials are not divided between processes, as batches are; start the same `unrolled tune` several times, "
            "without torchrun, and they share its trials."
        )
    check_counts(options)
    if common.search is not None:
        for dimension in parse_space(common.search, task.name, task.options):
            if dimension.name in changed(options):
                raise UsageError(f"{dimension.name} is given and also searched; leave one of the two out.")


def _folder(common: TuneCommon) -> Path:
    """The study's folder, made where it is not there; RunError where it is something else."""
    out = common.out or Path()
    if common.resume and common.storage is None and not (out / DATABASE).exists():
        raise RunError(f"{out} holds no study; give the folder that `unrolled tune` wrote, or leave --resume out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in out.iterdir()}
    except OSError as error:
        raise RunError(f"{out}: the study folder could not be made ({error.strerror}); choose another --out") from None
    if names and DATABASE not in names and common.storage is None:
        raise RunError(f"{out} is there and holds something other than a study; choose another --out")
    return out


def _open(task: Task, options: NetworkOptions, common: TuneCommon, url: str) -> tuple[Search, bool]:
    out = common.out or Path()
    study, made = open_study(url, out.absolute().name, rising=task.model.metric in RISING)
    own = _settings(task, options, common)
    shared = share_settings(study, own, made=made)
    if shared["task"] != task.name:
        raise RunError(f"{out} is a study of the task {shared['task']}; use `unrolled tune {shared['task']}`")
    if common.resume:
        options = _taken_up(out, task.options, shared["options"], options)
        common = _taken_up(out, TuneCommon, shared["common"], common)
    else:
        _check_same(out, shared, own)
    space = parse_space(shared["search"], task.name, task.options)
    if made:
        study.enqueue_trial(settled_default(options, space))
    search = Search(task, options, common, space, shared["seconds_each"], study, out)
    search.study.pruner = _pruner(common)
    return search, made


def _settings(task: Task, options: NetworkOptions, common: TuneCommon) -> dict[str, Any]:
    """All that the trials of a study have in common, as JSON."""
    if common.search is not None:
        space = parse_space(common.search, task.name, task.options)
    else:
        space = default_space(task.name, task.options, changed(options))
    return {
        "task": task.name,
        "options": plain(options),
        "common": plain(replace(common, out=None, storage=None, resume=False)),
        "search": ",".join(map(str, space)),
        "seconds_each": common.seconds_each,
    }


def _check_same(out: Path, shared: dict[str, Any], own: dict[str, Any]) -> None:
    """RunError where this command is not the one that the study was started with."""
    for part in ("options", "common"):
        for name, now in own[part].items():
            before = shared[part].get(name)
            if before != now and name not in _OWN and name != "search":
                raise _differs(out, name, before, now)
    for name in ("search", "seconds_each"):
        if shared[name] != own[name]:
            raise _differs(out, "trial_time" if name == "seconds_each" else name, shared[name], own[name])


def _taken_up(out: Path, kind: type[O], saved: dict[str, Any], given: O) -> O:
    """The options of the study with those that a process may choose for itself as they are given now."""
    own = options_of(kind, saved, str(out))
    asked = changed(given)
    for name, value in asked.items():
        before, now = plain_value(getattr(own, name)), plain_value(value)
        if name not in _OWN and before != now:
            raise _differs(out, name, before, now)
    chosen = {name: getattr(given, name) for name in _OWN if hasattr(given, name) and name in asked}
    if "max_time" in {f.name for f in fields(kind)}:  # a limit of days that are over says nothing of today
        chosen["max_time"] = getattr(given, "max_time")  # noqa: B009
    return replace(own, **chosen)


def _differs(out: Path, name: str, before: object, now: object) -> RunError:
    return RunError(
        f"{out} was started with {name}={before} and {name}={now} is asked for now; "
        "trials are compared only where they share it, so give another --out"
    )


def _pruner(common: TuneCommon) -> optuna.pruners.BasePruner:
    """Median: below the median of the others at the same share of the way, after the first fifth of it."""
    from optuna import pruners

    if common.pruner == "none":
        return pruners.NopPruner()
    if common.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=2, max_resource=PARTS, reduction_factor=3)
    first = min(5, max(2, common.most // 4))
    return pruners.MedianPruner(n_startup_trials=first, n_warmup_steps=PARTS // 5, n_min_trials=2)


class _Failed(Exception):
    """A trial that was tried and came to nothing, so that the next is begun."""


def _try(search: Search, watch: Watch, began: float) -> None:
    """Trial after trial."""
    first = True
    while _is_more_to_do(search, watch):
        left = None if search.common.max_time is None else search.common.max_time - (time.perf_counter() - began)
        # Less than most of a trial's time would not compare with the others.
        if left is not None and left < _LEAST_SHARE * (search.seconds_each or 0.0):
            return
        limits = [seconds for seconds in (search.seconds_each, left) if seconds is not None and search.seconds_each]
        trial = _Trial(search, watch, min(limits, default=None), watch.on_event if first else lambda event: None)
        search.study.optimize(trial, n_trials=1, catch=(_Failed,))
        if trial.number is not None:
            _write_best(search)
            watch.on_trial(search, trial.number)
        first = False


def _is_more_to_do(search: Search, watch: Watch) -> bool:
    """Whether fewer trials were begun than asked for, those lost with their process put back first."""
    lost = retry_lost(search.study)
    if lost:
        watch.on_lost(lost)
    return sum(one.state != "waiting" for one in search.records()) < search.common.most


@dataclass
class _Trial:
    """One trial as Optuna calls it."""

    search: Search
    watch: Watch
    seconds: float | None
    notify: Callable[[Event], None]
    number: int | None = None

    def __call__(self, trial: optuna.Trial) -> float:
        import optuna

        search = self.search
        if is_surplus(trial.study, trial.number, search.common.most):
            mark_surplus(trial)
            raise _Failed
        run = search.out / trial.user_attrs.get("run", f"trial-{trial.number:03d}")
        mark_process(trial, run.name)
        # Processes that share a study must not all draw the same numbers, nor one process others when it goes on.
        trial.study.sampler = optuna.samplers.TPESampler(seed=(1_000_003 * search.common.seed + trial.number) % 2**32)
        chosen = {dimension.name: dimension.suggest(trial) for dimension in search.space}
        try:
            return self._train(trial, run, chosen)
        except Pruned:
            self.number = trial.number
            raise optuna.TrialPruned from None
        except _Failed:
            self.number = trial.number
            raise
        except KeyboardInterrupt:
            try_again(trial.study, trial.study.trials[trial.number])
            raise

    def _train(self, trial: optuna.Trial, run: Path, chosen: dict[str, Any]) -> float:
        search = self.search
        options = replace(search.options, **chosen)
        resume = (run / CONFIG).exists()
        common = search.common.of_trial(run, self.seconds, resume=resume)
        command = search.command(Record(trial.number, "running", None, chosen))
        reporter = Reporter(trial, search.metric)
        try:
            result = search.task.train(options, common, [*self.watch.observers(), reporter], self.notify, command)
        except Pruned:
            raise
        except TrainingError as error:
            raise self._failed(trial, str(error)) from error
        except (ArgumentError, CellError, EngineError) as error:
            # What no trial has got past is not the fault of this one's choices.
            if isinstance(error, DataError) or not any(one.state == "complete" for one in search.records()):
                raise
            raise self._failed(trial, str(error)) from error
        if search.metric not in result.valid:
            raise ArgumentError("there is nothing to compare trials by: no validation part; give --valid FILE")
        value = result.valid[search.metric]
        if value != value:
            raise self._failed(trial, f"{search.metric} is not a number")
        self.number = trial.number
        return value

    def _failed(self, trial: optuna.Trial, why: str) -> _Failed:
        trial.set_user_attr("why", why)
        return _Failed(why)


def _write_best(search: Search) -> None:
    """best.json: which run is the best so far, its choices, and the command that makes it again."""
    best = search.best()
    if best is not None:
        content = {"trial": best.number, "run": best.run, "metric": search.metric, "value": best.value}
        write_json(search.out / BEST, {**content, "options": best.options, "command": search.command(best)})


def _words(options: NetworkOptions | Common, without: tuple[str, ...] = ()) -> list[str]:
    """Options that are not at their default, as the command line writes them."""
    names = {f.name: f.metadata.get("name", f.name).replace("_", "-") for f in fields(options)}
    words: list[str] = []
    for name, value in changed(options, without=without).items():
        flag = names[name]
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words
