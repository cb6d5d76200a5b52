"""Streams of taggers: words, rows of numbers or frames, a label for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.streams.numbers import RowsInput
from unrolled.streams.protocol import Input
from unrolled.streams.running import NoChoices, Origin, Running, chosen
from unrolled.streams.tag import FramesInput, Labels, WordsInput
from unrolled.tasks.film_input import FilmInput
from unrolled.tasks.step_inputs import NumberInput, StepInput
from unrolled.tasks.streams.network import TorchNetwork

if TYPE_CHECKING:
    from unrolled.tasks.tag import TagTask


def tag_stream(model: TagTask, choices: Mapping[str, Any]) -> Running:
    """A label for each step as soon as it has come."""
    if not model.causal:
        raise ArgumentError(
            "this run reads a whole sequence before it answers, so it cannot answer step by step; train it with causal"
        )
    chosen(NoChoices, choices)
    source, module = _input(model.reader), model.module.eval()

    def features(steps: Any, before: int) -> Tensor:
        return model.encoded(steps)

    network = TorchNetwork(features, module.recurrent, module.output)
    return Running(Origin(model.task, model.identity), source, network, Labels(model.classes))


def _input(reader: StepInput) -> Input:
    if isinstance(reader, NumberInput):
        if reader.own:
            raise ArgumentError(
                "this run brings each sequence to mean 0 by itself, which needs the whole of it; train it with causal"
            )
        return RowsInput(reader.scaler, reader.differences, reader.levels)
    return FramesInput(reader.size) if isinstance(reader, FilmInput) else WordsInput()
