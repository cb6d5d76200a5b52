"""From options to a trained run: read, build, tell what is known, train, write, measure. The same for every task."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from torch import nn

from unrolled.cell import Program
from unrolled.data.large import Progress, data_files, progress_to
from unrolled.errors import ArgumentError, DataError, RunError, TrainingError
from unrolled.layers import blame
from unrolled.tasks.curve import draw_curve
from unrolled.tasks.events import Encoding, Note, Started
from unrolled.tasks.folder import CONFIG
from unrolled.tasks.model import Conclusion, Parts, TaskModel, device_of
from unrolled.tasks.options import RESUMABLE, Common, NetworkOptions, changed, check_counts
from unrolled.tasks.preparing import Notify, arrange, build, data_of, describe, settings_of, tell_known
from unrolled.tasks.registry import Task
from unrolled.tasks.run import (
    EVENTS,
    METRICS,
    VOCABULARY,
    Config,
    check_free,
    create_folder,
    options_of,
    plain,
    plain_value,
    read_config,
    read_vocabulary,
    untrained,
    write_bytes,
    write_config,
    write_json,
    write_weights,
)
from unrolled.train import (
    POINTER,
    BatchSource,
    Carry,
    LossOutput,
    MetricsFile,
    Observer,
    Plan,
    TensorBoardWriter,
    Trainer,
    TrainResult,
    TrainSettings,
    tensorboard_installed,
)
from unrolled.train.distributed import World, joined, launched, restarted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

O = TypeVar("O", bound="DataclassInstance")


@dataclass(frozen=True)
class RunResult:
    """A trained model, where it was written, how training ended, and its metrics on the validation and test parts."""

    model: TaskModel[Any]
    training: TrainResult
    valid: dict[str, float]
    test: dict[str, float]
    config: Config
    run: Path | None = None
    conclusion: Conclusion = field(default_factory=Conclusion)


@dataclass(frozen=True)
class _Objective:
    """A task's model and parts as the trainer wants them."""

    model: TaskModel[Any]
    parts: Parts[Any]

    @property
    def module(self) -> nn.Module:
        return self.model.module

    def loss(self, batch: Any, carry: Carry) -> LossOutput:
        return self.model.loss(batch, carry)

    def evaluate(self) -> dict[str, float]:
        return {} if self.parts.valid is None else self.model.watch(self.parts.valid)


class _Remarks(Observer):
    """Passes on what a person should know of."""

    def __init__(self, notify: Notify) -> None:
        self.notify = notify

    def on_remark(self, remark: str) -> None:
        self.notify(Note(remark))


class _PlanWriter(Observer):
    """Writes the number of steps into config.json as soon as it is fixed."""

    def __init__(self, run: Path, config: Config) -> None:
        self.run = run
        self.config = config

    def on_plan(self, plan: Plan) -> None:
        self.config = replace(self.config, total_steps=plan.total_steps)
        write_config(self.run, self.config)


def train_run(
    task: Task,
    options: NetworkOptions,
    common: Common,
    observers: Sequence[Observer],
    notify: Notify,
    command: str,
) -> RunResult:
    """`Task.train`."""
    with joined(common.device) as world:
        world.said(lambda: _check_out(common))
        quiet: Notify = notify if world.first else lambda event: None
        if common.resume or (restarted() and common.out is not None and (common.out / CONFIG).exists()):
            return _resume(task, options, replace(common, resume=True), observers, quiet, world)
        return _start(task, options, common, observers, quiet, command, world)


def _check_out(common: Common) -> None:
    if launched() and common.out is None:
        raise ArgumentError("several processes need a run folder that all of them know; give --out RUN")
    if common.out is None and common.resume:
        raise ArgumentError("resume needs the run to go on with; give --out RUN")
    if common.out is not None and not common.resume and not restarted():
        check_free(common.out)


class _Ready(NamedTuple):
    """All that a training needs, with the second in which it began."""

    model: TaskModel[Any]
    parts: Parts[Any]
    source: BatchSource
    settings: TrainSettings
    config: Config
    started: float


def _start(
    task: Task,
    options: NetworkOptions,
    common: Common,
    observers: Sequence[Observer],
    notify: Notify,
    command: str,
    world: World,
) -> RunResult:
    def prepared() -> _Ready:
        started = time.perf_counter()
        check_counts(options)
        with _encoding(notify) as told:
            parts = task.model.read(data_of(task, common), options, common)
            settled = task.model.settle(options, parts)
            model = build(task, parts, settled, common, notify)
            source = model.source(parts.train, settled, common.seed)
        if told:
            started = time.perf_counter()  # a limit of time is for training, not for what is done once for all
        settings = settings_of(model, len(source), settled, common)
        tell_known(model, parts, source, common, notify)
        return _Ready(model, parts, source, settings, describe(model, parts, options, common, command), started)

    ready = world.together(prepared)

    def begun() -> Path:
        run = common.out if restarted() and common.out is not None else create_folder(common.out, task.name)
        if ready.model.vocabulary is not None:
            write_json(run / VOCABULARY, ready.model.vocabulary.to_json())
        write_config(run, ready.config)
        return run

    _check_alike(world, ready.config)
    run = world.said(begun)
    notify(Started(str(run)))
    return _finish(_trainer(ready, run, observers, notify, world), ready, run, notify, resume=False)


def _check_alike(world: World, config: Config) -> None:
    """Raises DataError where another process of this training has read other data."""
    data = world.each({name: part for name, part in config.data.items() if isinstance(part, dict)})
    other = next((rank for rank, found in enumerate(data) if found != data[0]), None)
    if other is not None:
        error = DataError(f"process {other} has read other data than the first; give all of them the same files")
        error.everywhere = True
        raise error


@contextlib.contextmanager
def _encoding(notify: Notify) -> Iterator[list[None]]:
    """Tell how the encoding of large data goes on; the list has an entry if there was any."""
    told: list[None] = []

    def tell(progress: Progress) -> None:
        told[:] = [None]
        notify(Encoding(progress))

    with progress_to(tell):
        yield told


def train_in_memory(
    task: Task, parts: Parts[Any], options: NetworkOptions, common: Common, observers: Sequence[Observer] = ()
) -> RunResult:
    """The same on examples in memory, without a run folder: what the estimators call; `save_run` writes it later."""
    settled = task.model.settle(options, parts)
    model = build(task, parts, settled, common, lambda event: None)
    source = model.source(parts.train, settled, common.seed)
    settings = settings_of(model, len(source), settled, common)
    config = describe(model, parts, options, common, "")
    training = Trainer(_Objective(model, parts), source, settings, None, observers, blame=blame).fit()
    return _measured(model, parts, training, replace(config, total_steps=training.total_steps), None)


def save_run(run: Path, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
    """Write a model trained in memory as the same folder that `Task.train` writes; raises RunError."""
    create_folder(run, model.task)
    if model.vocabulary is not None:
        write_json(run / VOCABULARY, model.vocabulary.to_json())
    write_bytes(run / METRICS, "".join(json.dumps(row) + "\n" for row in rows).encode())
    write_weights(run, model.module)
    write_config(run, config)
    draw_curve(run, model.metric)


def _trainer(ready: _Ready, run: Path, observers: Sequence[Observer], notify: Notify, world: World) -> Trainer:
    watching: Sequence[Observer] = ()
    if world.first:
        events = (TensorBoardWriter(run / EVENTS),) if tensorboard_installed() else ()
        watching = (_PlanWriter(run, ready.config), MetricsFile(run / METRICS), *events, _Remarks(notify), *observers)
    objective = _Objective(ready.model, ready.parts)
    return Trainer(
        objective, ready.source, ready.settings, run, watching, started=ready.started, blame=blame, world=world
    )


def _finish(trainer: Trainer, ready: _Ready, run: Path, notify: Notify, *, resume: bool) -> RunResult:
    """Train; write the best weights, also of a training that was stopped; measure them."""
    world, model, parts = trainer.world, ready.model, ready.parts
    try:
        training = trainer.fit(resume=resume)
    except (KeyboardInterrupt, TrainingError):
        if world.first:
            write_weights(run, model.module)
        raise
    if resume and training.step == training.resumed_from:
        notify(Note(_nothing_left(training, trainer.settings)))

    def ended() -> tuple[dict[str, float], dict[str, float], Config, Conclusion]:
        write_weights(run, model.module)
        result = _measured(model, parts, training, read_config(run), run)
        write_config(run, result.config)
        why_not = draw_curve(run, model.metric)
        if why_not is not None:
            notify(Note(why_not))
        return result.valid, result.test, result.config, model.conclude(parts, run)

    valid, test, config, conclusion = world.said(ended)
    return RunResult(model, training, valid, test, config, run, conclusion)


def _nothing_left(training: TrainResult, settings: TrainSettings) -> str:
    """Why a resumed run took no step, and what would let it go on."""
    if training.stopped == "max_time":
        return f"nothing left to do: the time limit of {settings.max_time:g} s is used up; give a longer one (max_time)"
    if training.stopped == "patience":
        return f"nothing left to do: {settings.patience} evaluations in a row brought no gain (patience)"
    return f"nothing left to do: all {training.step:,} steps are done; ask for more epochs or time to go on"


def _measured(
    model: TaskModel[Any], parts: Parts[Any], training: TrainResult, config: Config, run: Path | None
) -> RunResult:
    """The result of a training, with the metrics of the parts also in its config."""
    # a training too short for one evaluation has not measured the weights that the model now has
    valid = training.metrics or ({} if parts.valid is None else model.measure(parts.valid))
    test = {} if parts.test is None else model.measure(parts.test)
    results: dict[str, Any] = {"valid": valid, "test": test, "best_step": training.best_step, "step": training.step}
    results |= {"seconds": round(training.seconds, 3), "stopped": training.stopped, "bad_steps": training.bad_steps}
    return RunResult(model, training, valid, test, replace(config, results=results), run)


def _resume(
    task: Task, options: NetworkOptions, common: Common, observers: Sequence[Observer], notify: Notify, world: World
) -> RunResult:
    """Go on with the run in `common.out` as if it had never stopped."""
    run = common.out or Path()

    def reopened() -> _Ready:
        return _reopened(task, options, common, run, notify)

    ready = world.together(reopened)
    notify(Started(str(run)))
    return _finish(_trainer(ready, run, observers, notify, world), ready, run, notify, resume=True)


def _reopened(task: Task, options: NetworkOptions, common: Common, run: Path, notify: Notify) -> _Ready:
    started = time.perf_counter()
    config = read_config(run)
    if config.task != task.name:
        raise RunError(f"{run} is a run of the task {config.task}; resume it with `unrolled train {config.task}`")
    options = _merged(run, task.options, config.options, options, ())
    named = common.data is not None
    common = _merged(run, Common, config.common, common, (*RESUMABLE, "out", "data", "valid", "test"))
    options.cell = Program.from_json(config.network["program"])  # type: ignore[assignment]  # what load_cell takes too
    if not named:
        _check_there(data_of(task, common), common, f"unrolled train {task.name} FILE --resume --out {run}")
    with _encoding(notify) as told:
        parts = task.model.read(data_of(task, common), options, common)
    options = task.model.settle(options, parts)
    if not (run / POINTER).exists():
        model = build(task, parts, options, common, notify)
    else:
        model = untrained(config, read_vocabulary(run), str(run))
        arrange(model, device_of(common.device), common)
    _check_data(run, config, model, parts)
    with _encoding(notify) as again:
        source = model.source(parts.train, options, common.seed)
    if told or again:
        started = time.perf_counter()
    settings = settings_of(model, len(source), options, common)
    config = replace(config, common=plain(replace(common, resume=False)))
    return _Ready(model, parts, source, settings, config, started)


def _check_there(data: Path, common: Common, command: str) -> None:
    try:
        data_files(data, common.more)
    except DataError as error:
        raise DataError(f"{error}, or name the place that it was moved to: `{command}`") from None


def _merged(run: Path, kind: type[O], saved: dict[str, Any], given: O, free: tuple[str, ...]) -> O:
    """The run's own options with those of `free` as they are given now; raises RunError where another one differs."""
    own = options_of(kind, saved, str(run))
    asked = changed(given)
    for name, value in asked.items():
        before, now = plain_value(getattr(own, name)), plain_value(value)
        if name not in free and before != now:
            raise RunError(
                f"{run} was trained with {name}={before} and {now} is asked for now; "
                "resume may change only time, epochs, device and threads"
            )
    return replace(own, **{name: value for name, value in asked.items() if name in free})


def _check_data(run: Path, config: Config, model: TaskModel[Any], parts: Parts[Any]) -> None:
    for name, part in (("train", parts.train), ("valid", parts.valid)):
        saved = config.data.get(name)
        now = None if part is None else model.fingerprint(part)
        if (saved or {}).get("sha256") != now:
            raise RunError(
                f"{run}: the {name} part is not what the run was started with; restore the data or start a new run"
            )
