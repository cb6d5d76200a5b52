"""Streams of taggers: words, rows of numbers or frames, a label for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from unrolled.data.arrays import Numbers
from unrolled.errors import ArgumentError
from unrolled.streams.network import StreamNetwork
from unrolled.streams.running import NoChoices, Origin, Running, chosen
from unrolled.streams.tag import Labels
from unrolled.tasks.step_inputs import NumberInput
from unrolled.tasks.streams.network import TorchLayers, as_numbers
from unrolled.tasks.tag_parts import input_stream

if TYPE_CHECKING:
    from unrolled.tasks.tag import TagTask


def tag_stream(model: TagTask, choices: Mapping[str, Any]) -> Running:
    """A label for each step as soon as it has come."""
    if not model.causal:
        raise ArgumentError(
            "this run reads a whole sequence before it answers, so it cannot answer step by step; train it with causal"
        )
    chosen(NoChoices, choices)
    source, module = input_stream(model.reader), model.module.eval()

    device, numbers = model.device, isinstance(model.reader, NumberInput)

    @torch.no_grad()
    def features(steps: Any, before: int) -> Numbers:
        found = module.encode(torch.from_numpy(steps)[None].to(device)) if numbers else model.encoded(steps)
        return as_numbers(found[0])

    network = StreamNetwork(features, TorchLayers(module.recurrent, module.output))
    return Running(Origin(model.task, model.identity), source, network, Labels(model.classes))
