"""Streams of transcribers: the text so far, as the sound or the strokes arrive."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

from unrolled.data.arrays import Numbers
from unrolled.errors import ArgumentError
from unrolled.layers import State
from unrolled.streams.front import GroupStream
from unrolled.streams.network import StreamNetwork, kept_state
from unrolled.streams.running import Origin, Running, chosen
from unrolled.streams.saved import Kept
from unrolled.streams.transcript import SignalInput, Text, TranscribeChoices
from unrolled.tasks.joined import join
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.search import Search
from unrolled.tasks.streams.network import as_arrays, as_numbers, as_state

if TYPE_CHECKING:
    from unrolled.tasks.transcribe import TranscribeTask


def transcribe_stream(model: TranscribeTask, choices: Mapping[str, Any]) -> Running:
    """The text of what was read so far."""
    if model.plan.bidirectional:
        raise ArgumentError(
            "this run reads in both directions, so it needs the whole input; train with --causal for streams"
        )
    picked = chosen(TranscribeChoices, choices)
    search, helper = search_of(model, picked)
    reader = Text(model.vocabulary, lambda: search.reader(model.blank), model.plan.outputs, helper)
    origin = Origin(model.task, model.identity, picked.to_json())
    groups = GroupStream(model.module.reduction, model.plan.inputs)
    network = StreamNetwork(lambda steps, _: steps, StageLayers(model), groups)
    return Running(origin, SignalInput.of(model.signal, model.scaler), network, reader)


def search_of(model: TranscribeTask, choices: TranscribeChoices) -> tuple[Search, str | None]:
    """The search of a stream, and the fingerprint of the language model that helps. Raises ArgumentError."""
    language = choices.language
    if language is None:
        return Search(choices.beam, weight=choices.weight, bonus=choices.bonus), None
    language = getattr(language, "model_", language)  # an estimator's own
    if not isinstance(language, LanguageTask):
        raise ArgumentError(f"language is {type(language).__name__}; give a fitted LanguageModel or a run of language")
    companion = join(language, model.vocabulary)
    return Search(choices.beam, companion, choices.weight, choices.bonus), language.identity()


class StageLayers:
    """Stages with a state each, then log p of the symbols."""

    def __init__(self, model: TranscribeTask) -> None:
        self.model = model
        self.module = model.module.eval()
        self.states: list[State] = [stage.initial_state(1) for stage in self.module.recurrents]

    @torch.no_grad()
    def __call__(self, x: Numbers) -> Numbers:
        steps = torch.from_numpy(x)[None].to(self.model.device)
        logits, self.states = self.module.advance(steps, self.states)
        return as_numbers(self.model.without_unknown(logits)[0].float().log_softmax(-1))

    def fork(self) -> Self:
        return copy.copy(self)

    def save(self) -> Kept:
        stages = {f"stage{place}": kept_state(as_arrays(state)) for place, state in enumerate(self.states)}
        return Kept.join(**stages)

    def load(self, kept: Kept) -> None:
        self.states = [as_state(state, kept.within(f"stage{place}")) for place, state in enumerate(self.states)]
