"""Streams of the tasks with one answer a sequence, and of language models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.data.arrays import Exact, Ids, Numbers
from unrolled.errors import ArgumentError
from unrolled.layers import Output
from unrolled.models import LanguageNetwork, SequenceNetwork
from unrolled.streams.language import LanguageChoices, LanguageStream, Units
from unrolled.streams.network import StreamNetwork
from unrolled.streams.numbers import SeriesInput
from unrolled.streams.pooling import Pool
from unrolled.streams.protocol import Answer, Input
from unrolled.streams.running import NoChoices, Origin, Running, chosen
from unrolled.streams.text import TextInput
from unrolled.streams.verdict import Verdict, label_of, labels_of, numbers_of
from unrolled.tasks.streams.inputs import classify_input
from unrolled.tasks.streams.network import TorchLayers, as_numbers, front_stream

if TYPE_CHECKING:
    from unrolled.tasks.classify import ClassifyTask
    from unrolled.tasks.language import LanguageTask
    from unrolled.tasks.regress import RegressTask
    from unrolled.tasks.sequences import SequenceTask


def classify_stream(model: ClassifyTask, choices: Mapping[str, Any]) -> Running:
    """The class probabilities of what was read so far."""
    source = classify_input(model.reading, model.vocabulary, model.scaler, marks=model.marks)
    said = labels_of(model.classes) if model.several else label_of(model.classes)
    return _verdicts(model, choices, source, said)


def regress_stream(model: RegressTask, choices: Mapping[str, Any]) -> Running:
    """The numbers that what was read so far comes to."""
    if model.vocabulary is not None:
        source: Input = TextInput(model.vocabulary)
    elif model.scaler is not None:
        source = SeriesInput(model.scaler, missing=False, marks=False)
    else:
        raise TypeError("numbers have a scaler")
    scaler = model.target_scaler
    return _verdicts(model, choices, source, numbers_of(model.names, scaler.scale, scaler.mean))


def _verdicts(
    model: SequenceTask, choices: Mapping[str, Any], source: Input, said: Callable[[Exact], Answer]
) -> Running:
    if model.plan.bidirectional:
        raise ArgumentError(
            "this run reads in both directions, so it needs the whole input; train it with --no-bidirectional for "
            "streams"
        )
    chosen(NoChoices, choices)
    module, device = model.module.eval(), model.device

    @torch.no_grad()
    def features(steps: Any, before: int) -> Numbers:
        x = np.asarray(steps)
        return x if module.embed is None else as_numbers(module.embed(torch.from_numpy(x)[None].to(device), before)[0])

    front = None if module.front is None else front_stream(module.front)
    network = StreamNetwork(features, TorchLayers(module.recurrent), front)
    reader = Verdict(_pool(module), _head(module), said)
    return Running(Origin(model.task, model.identity), source, network, reader)


def _pool(module: SequenceNetwork) -> Pool:
    pooling = module.pooling

    def scores(outputs: Numbers) -> Numbers:
        with torch.no_grad():
            x = torch.from_numpy(outputs).to(pooling.score)
            found: Numbers = (torch.tanh(pooling.hidden(x)) @ pooling.score).float().cpu().numpy()
        return found

    return Pool(pooling.kind, pooling.size, scores if pooling.kind == "attention" else None)


def _head(module: SequenceNetwork) -> Callable[[Numbers], Exact]:
    def head(vector: Numbers) -> Exact:
        with torch.no_grad():
            found: Exact = module.output(torch.from_numpy(vector).to(module.output.weight)).double().cpu().numpy()
        return found

    return head


def language_stream(model: LanguageTask, choices: Mapping[str, Any]) -> LanguageStream:
    """How surprising a text is while it is written, and what comes next."""
    picked = chosen(LanguageChoices, choices)
    units = Units(model.vocabulary, model.start, model.border, model.ends)
    origin = Origin(model.task, model.identity, asdict(picked))
    return LanguageStream(origin, units, UnitNetwork(model.module.eval(), model.device), picked)


class UnitNetwork(StreamNetwork[TorchLayers]):
    """Ids (T,) -> logits (T, V); a single one without anything that is not needed for it."""

    def __init__(self, module: LanguageNetwork, device: torch.device) -> None:
        @torch.no_grad()
        def features(steps: Ids, before: int) -> Numbers:
            return as_numbers(module.embedding(torch.from_numpy(steps).to(device)))

        def outputs(y: Tensor) -> Tensor:
            found: Tensor = module.output(y if module.project is None else module.project(y))
            return found

        super().__init__(features, TorchLayers(module.recurrent, outputs))
        self.embedding = module.embedding.weight.detach()
        # A product of rows is all that a plain output layer is.
        self.last = module.output if isinstance(module.output, Output) and module.project is None else None

    def read(self, steps: Ids) -> Numbers:
        layers, last = self.layers, self.last
        bound = layers.bound
        if len(steps) != 1 or last is None or bound is None or not bound.ready:
            return super().read(steps)
        with torch.no_grad():
            unit = int(steps[0])
            y, layers.state = bound(self.embedding[unit : unit + 1], layers.state)
            found: Numbers = functional.linear(y, last.weight, last.bias).numpy()
        return found
