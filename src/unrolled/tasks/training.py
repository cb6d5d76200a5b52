"""From options to a trained run: read, build, tell what is known, train, write, measure. The same for every task."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from unrolled.cell import Program
from unrolled.data import shared_rows
from unrolled.data.large import Progress, progress_to
from unrolled.errors import ArgumentError, RunError, TrainingError
from unrolled.layers import Recurrent, blame, segment_length
from unrolled.tasks.curve import draw_curve
from unrolled.tasks.events import Duplicates, Encoding, Estimate, Event, Note, Skipped, Split, Started
from unrolled.tasks.folder import CONFIG
from unrolled.tasks.model import Conclusion, Parts, TaskModel, device_of, take_weights
from unrolled.tasks.options import RESUMABLE, Common, NetworkOptions, changed, check_counts
from unrolled.tasks.options.durations import parse_interval
from unrolled.tasks.registry import Task
from unrolled.tasks.run import (
    EVENTS,
    METRICS,
    VOCABULARY,
    Config,
    check_free,
    create_folder,
    open_run,
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
    seeded,
    tensorboard_installed,
    thread_count,
)
from unrolled.train.distributed import World, joined, launched, restarted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Notify = Callable[[Event], None]
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
        if launched() and common.out is None:
            raise ArgumentError("several processes need a run folder that all of them know; give --out RUN")
        quiet: Notify = notify if world.first else lambda event: None
        if common.resume or (restarted() and common.out is not None and (common.out / CONFIG).exists()):
            return _resume(task, options, replace(common, resume=True), observers, quiet, world)
        return _start(task, options, common, observers, quiet, command, world)


def _start(
    task: Task,
    options: NetworkOptions,
    common: Common,
    observers: Sequence[Observer],
    notify: Notify,
    command: str,
    world: World,
) -> RunResult:
    started = time.perf_counter()
    check_counts(options)
    out = common.out
    if out is not None and not restarted():
        world.said(lambda: check_free(out))
    with _encoding(notify) as told:
        parts = task.model.read(_data(task, common), options, common)
        settled = task.model.settle(options, parts)
        model = build(task, parts, settled, common, notify)
        source = model.source(parts.train, settled, common.seed)
    if told:
        started = time.perf_counter()  # a limit of time is for training, not for what is done once for all trainings
    settings = settings_of(model, len(source), settled, common)
    _tell(model, parts, source, common, notify)
    config = describe(model, parts, options, common, command)

    def begun() -> Path:
        run = common.out if restarted() and common.out is not None else create_folder(common.out, task.name)
        if model.vocabulary is not None:
            write_json(run / VOCABULARY, model.vocabulary.to_json())
        write_config(run, config)
        return run

    run = world.said(begun)
    notify(Started(str(run)))
    trainer = _trainer(model, parts, source, settings, run, config, observers, started, notify, world)
    return _finish(trainer, model, parts, run, notify, resume=False)


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


def build(task: Task, parts: Parts[Any], options: NetworkOptions, common: Common, notify: Notify) -> TaskModel[Any]:
    """A fresh model on its device, `--from` another run's weights where that is asked for."""
    device = device_of(common.device)
    start = None if common.from_run is None else open_run(common.from_run)
    with seeded(common.seed):
        model: TaskModel[Any] = task.model.build(parts, options, start)
    if start is not None:
        fresh = take_weights(model, start)
        notify(Note(f"weights of {common.from_run}" + (f"; new: {', '.join(fresh)}" if fresh else "")))
    for note in model.notes:
        notify(note)
    _arrange(model, device, common)
    return model


def _arrange(model: TaskModel[Any], device: torch.device, common: Common) -> None:
    """To its device, with what it keeps of long sequences."""
    model.module.to(device)
    for part in model.module.modules():
        if isinstance(part, Recurrent):
            part.memory = common.memory


def settings_of(model: TaskModel[Any], steps: int, options: NetworkOptions, common: Common) -> TrainSettings:
    """What the trainer wants to know, an epoch having `steps` steps. Raises ArgumentError for values out of range."""
    default = model.epochs(steps) if common.max_time is None or model.overfits else None
    seconds, steps_between = parse_interval(common.checkpoint_every)
    return TrainSettings(
        optimiser=options.optimiser,  # type: ignore[arg-type]  # checked there
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup=options.warmup,
        decay=options.decay,  # type: ignore[arg-type]  # checked there
        clip=options.clip or None,
        bad_steps=options.bad_steps,
        precision=common.precision,  # type: ignore[arg-type]  # checked there
        checkpoint_every=seconds,
        checkpoint_steps=steps_between,
        keep=common.keep,
        epochs=common.epochs if common.epochs is not None else default,
        max_time=common.max_time,
        metric=model.metric,
        patience=options.patience or None,
        settle=options.settle,
        seed=common.seed,
        threads=common.threads,
        ema=options.ema or None,
    )


def describe(model: TaskModel[Any], parts: Parts[Any], options: NetworkOptions, common: Common, command: str) -> Config:
    """config.json as it is before training."""
    named = {"train": parts.train, "valid": parts.valid, "test": parts.test}
    data = {
        name: {"count": len(part), "sha256": model.fingerprint(part)}
        for name, part in named.items()
        if part is not None
    }
    return Config(
        task=model.task,
        network=model.plan.to_json(),
        schema=model.schema(),
        options=plain(options),
        common=plain(common),
        data={"held_out": parts.how, "threads": common.threads or torch.get_num_threads(), **data},
        parameters=model.parameters,
        command=command,
    )


def _data(task: Task, common: Common) -> Path:
    if common.data is None:
        raise ArgumentError("no training data was given; name a file or a folder")
    if (common.more or common.cache is not None) and not task.model.large:
        given = "several training files are" if common.more else "a cache is"
        raise ArgumentError(f"{given} for tasks that read large text, and {task.name} does not; give one file alone")
    return common.data


def _tell(model: TaskModel[Any], parts: Parts[Any], source: BatchSource, common: Common, notify: Notify) -> None:
    """What is known before training: the parts, rows that are in two of them, size, time and memory."""
    train, valid, test = (0 if part is None else model.count(part) for part in (parts.train, parts.valid, parts.test))
    notify(Split(train, valid, test, model.unit, parts.how))
    for remark in parts.remarks:
        notify(Note(remark))
    if parts.skipped:
        notify(Skipped(tuple(map(str, parts.skipped))))
    known = model.keys(parts.train)
    for name, part in (("validation", parts.valid), ("test", parts.test)):
        if part is not None and (rows := shared_rows(known, model.keys(part))):
            notify(Duplicates(name, rows, len(part)))
    notify(estimate(model, source, common))


def estimate(model: TaskModel[Any], source: BatchSource, common: Common) -> Estimate:
    """Time and memory from a trial step whose result is thrown away."""
    batch = next(source.epoch(0))
    seconds = 0.0
    averages = {name: buffer.clone() for name, buffer in model.module.named_buffers()}
    model.module.train()
    with thread_count(common.threads), seeded(common.seed, 2, model.device):
        for _ in range(2):  # the first also pays for what is made once
            before = time.perf_counter()
            model.loss(batch, None).loss.backward()  # type: ignore[no-untyped-call]
            seconds = time.perf_counter() - before
    model.module.zero_grad(set_to_none=True)
    for name, buffer in model.module.named_buffers():
        buffer.copy_(averages[name])
    # Weights, their gradients, two moments of AdamW and the best weights so far.
    kept = model.activations(batch)
    if common.memory == "low":
        steps = max(int(batch[0].shape[1]), 1)
        # one segment, and what goes in and comes out of all steps
        kept = min(kept, int(kept * segment_length(steps) / steps) + 2 * steps * len(batch[0]) * model.plan.hidden)
    memory = 4 * (5 * model.parameters + kept)
    return Estimate(model.parameters, memory, seconds * len(source), len(source))


def _trainer(
    model: TaskModel[Any],
    parts: Parts[Any],
    source: BatchSource,
    settings: TrainSettings,
    run: Path,
    config: Config,
    observers: Sequence[Observer],
    started: float | None,
    notify: Notify,
    world: World,
) -> Trainer:
    watching: Sequence[Observer] = ()
    if world.first:
        events = (TensorBoardWriter(run / EVENTS),) if tensorboard_installed() else ()
        watching = (_PlanWriter(run, config), MetricsFile(run / METRICS), *events, _Remarks(notify), *observers)
    objective = _Objective(model, parts)
    return Trainer(objective, source, settings, run, watching, started=started, blame=blame, world=world)


def _finish(
    trainer: Trainer, model: TaskModel[Any], parts: Parts[Any], run: Path, notify: Notify, *, resume: bool
) -> RunResult:
    """Train; write the best weights, also of a training that was stopped; measure them."""
    world = trainer.world
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
    started = time.perf_counter()
    if common.out is None:
        raise ArgumentError("resume needs the run to go on with; give --out RUN")
    run = common.out
    config = read_config(run)
    if config.task != task.name:
        raise RunError(f"{run} is a run of the task {config.task}; resume it with `unrolled train {config.task}`")
    options = _merged(run, task.options, config.options, options, ())
    common = _merged(run, Common, config.common, common, (*RESUMABLE, "out", "data", "valid", "test"))
    options.cell = Program.from_json(config.network["program"])  # type: ignore[assignment]  # what load_cell takes too
    with _encoding(notify) as told:
        parts = task.model.read(_data(task, common), options, common)
    options = task.model.settle(options, parts)
    if not (run / POINTER).exists():
        model = build(task, parts, options, common, notify)
    else:
        model = untrained(config, read_vocabulary(run), str(run))
        _arrange(model, device_of(common.device), common)
    _check_data(run, config, model, parts)
    with _encoding(notify) as again:
        source = model.source(parts.train, options, common.seed)
    if told or again:
        started = time.perf_counter()
    settings = settings_of(model, len(source), options, common)
    config = replace(config, common=plain(replace(common, resume=False)))
    notify(Started(str(run)))
    trainer = _trainer(model, parts, source, settings, run, config, observers, started, notify, world)
    return _finish(trainer, model, parts, run, notify, resume=True)


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
