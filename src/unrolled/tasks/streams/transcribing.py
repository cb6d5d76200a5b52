"""Streams of transcribers: the text so far, as the sound or the strokes arrive."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from unrolled.data.arrays import Numbers
from unrolled.errors import ArgumentError
from unrolled.layers import State
from unrolled.streams.running import Origin, Running, chosen
from unrolled.streams.saved import Kept
from unrolled.streams.transcript import SignalInput, Text, TranscribeChoices
from unrolled.tasks.joined import join
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.search import Search
from unrolled.tasks.streams.network import loaded_state, state_arrays

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
    return Running(origin, SignalInput(model.signal, model.scaler), StageNetwork(model), reader)


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


class StageNetwork:
    """Stages that join steps: what is not a whole group waits."""

    def __init__(self, model: TranscribeTask) -> None:
        self.model = model
        self.module = model.module.eval()
        self.rest: Numbers = np.zeros((0, model.plan.inputs), np.float32)
        self.states: list[State] = [stage.initial_state(1) for stage in self.module.recurrents]

    def read(self, steps: Numbers) -> Numbers:
        steps = np.concatenate([self.rest, steps])
        whole = len(steps) - len(steps) % self.module.reduction
        self.rest = steps[whole:].copy()
        return self._through(steps[:whole])

    def finish(self) -> Numbers:
        rest, self.rest = self.rest, self.rest[:0]
        return self._through(rest)

    def fork(self) -> Self:
        return copy.copy(self)

    def save(self) -> Kept:
        stages = {f"stage{place}": Kept(**state_arrays(state)) for place, state in enumerate(self.states)}
        return Kept.join(**stages, waiting=Kept(steps=self.rest))

    def load(self, kept: Kept) -> None:
        self.states = [loaded_state(s, kept.within(f"stage{place}")) for place, s in enumerate(self.states)]
        shape = (None, self.rest.shape[1])
        self.rest = kept.within("waiting").array("steps", shape, most=self.module.reduction)

    @torch.no_grad()
    def _through(self, steps: Numbers) -> Numbers:
        if not len(steps):
            return np.zeros((0, self.model.plan.outputs), np.float32)
        x = torch.from_numpy(steps)[None].to(self.model.device)
        logits, self.states = self.module.advance(x, self.states)
        found: Numbers = self.model.without_unknown(logits)[0].float().log_softmax(-1).cpu().numpy()
        return found
