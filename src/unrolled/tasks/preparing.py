"""What a training begins with: the model on its device, the trainer's settings, config.json, what is told before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unrolled.data import shared_rows
from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent, segment_length
from unrolled.tasks.events import Duplicates, Estimate, Event, Note, Skipped, Split
from unrolled.tasks.model import Parts, TaskModel, device_of, take_weights
from unrolled.tasks.options import Common, NetworkOptions
from unrolled.tasks.options.durations import parse_interval
from unrolled.tasks.registry import Task
from unrolled.tasks.run import Config, open_run, plain
from unrolled.train import BatchSource, TrainSettings, seeded, thread_count

Notify = Callable[[Event], None]


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
    arrange(model, device, common)
    return model


def arrange(model: TaskModel[Any], device: torch.device, common: Common) -> None:
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


def data_of(task: Task, common: Common) -> Path:
    """The file or folder of the training data. Raises ArgumentError."""
    if common.data is None:
        raise ArgumentError("no training data was given; name a file or a folder")
    if (common.more or common.cache is not None) and not task.model.large:
        given = "several training files are" if common.more else "a cache is"
        raise ArgumentError(f"{given} for tasks that read large text, and {task.name} does not; give one file alone")
    return common.data


def tell_known(model: TaskModel[Any], parts: Parts[Any], source: BatchSource, common: Common, notify: Notify) -> None:
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
    notify(_estimate(model, source, common))


def _estimate(model: TaskModel[Any], source: BatchSource, common: Common) -> Estimate:
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
