"""A transcriber without torch: the text of sound, pen strokes or rows of numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from unrolled.data import LengthBatches, Vocabulary, pad_numbers
from unrolled.data.arrays import Numbers
from unrolled.data.recordings import read_samples
from unrolled.errors import ArgumentError
from unrolled.runtime.language import Language
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Ids, LayerNorm, Linear, log_softmax, valid
from unrolled.runtime.recurrent import Recurrent, State
from unrolled.runtime.stream import as_arrays, as_state
from unrolled.runtime.weights import Array
from unrolled.streams.front import GroupStream
from unrolled.streams.network import StreamNetwork, kept_state
from unrolled.streams.running import Running, chosen
from unrolled.streams.saved import Kept
from unrolled.streams.transcript import SignalInput, Text, TranscribeChoices
from unrolled.tasks.joined import join
from unrolled.tasks.schemas import TranscribeSchema, transcribe_schema
from unrolled.tasks.search import GREEDY, Logs, Search

_ROWS, _STEPS = 32, 1 << 16
# No symbol that is not known is ever put out.
_NEVER = np.float32(-100)


class Network:
    """Recurrent stages, each of which may first join neighbouring steps, then log p; see `TranscriptionNetwork`."""

    def __init__(self, run: Run, vocabulary: Vocabulary, reductions: Sequence[int]) -> None:
        weights, layers = run.weights, run.plan.layers if len(reductions) == 1 else 1
        self.reductions, self.unknown = reductions, vocabulary.unknown
        self.stages: list[Recurrent] = []
        self.norms: list[LayerNorm | None] = [None]
        width = run.plan.inputs
        for place, factor in enumerate(reductions):
            if place:
                with_norm = run.plan.regularisation.layer_norm
                self.norms.append(LayerNorm(width, weights.under(f"norms.{place - 1}")) if with_norm else None)
            shape = replace(run.shape(), inputs=width * factor, layers=layers)
            self.stages.append(Recurrent(shape, weights.under(f"stages.{place}")))
            width = self.stages[-1].output_size
        self.output = Linear(width, run.plan.outputs, weights.under("output"))

    @property
    def reduction(self) -> int:
        """Input steps that become one output step."""
        return int(np.prod(self.reductions))

    def logs(self, x: Array, lengths: Ids) -> tuple[Logs, Ids]:
        """Log p (B, U, V) of x (B, T, F) and how many steps of each row count."""
        found, _, lengths = self._through(x, None, lengths)
        return found, lengths

    def advance(self, x: Array, states: Sequence[State]) -> tuple[Logs, list[State]]:
        """The next part of a stream: x (1, T, F) -> log p (1, U, V) and the state of each stage."""
        found, after, _ = self._through(x, states, np.array([x.shape[1]]))
        return found, after

    def _through(self, x: Array, states: Sequence[State] | None, lengths: Ids) -> tuple[Logs, list[State], Ids]:
        after = []
        for place, (stage, norm, factor) in enumerate(zip(self.stages, self.norms, self.reductions, strict=True)):
            x = x if norm is None else norm(x)
            # What stands past a row's end must not get into its last group.
            x = _joined(np.where(valid(lengths, x.shape[1])[..., None], x, np.float32(0)), factor)
            lengths = -(-lengths // factor)
            x, state = stage(x, None if states is None else states[place], lengths)
            after.append(state)
        logits = self.output(x)
        logits[..., self.unknown] = _NEVER
        return log_softmax(logits), after, lengths


def _joined(x: Array, factor: int) -> Array:
    """(B, T, F) -> (B, ceil(T / factor), factor * F), the features of neighbouring steps side by side."""
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % factor), (0, 0)))
    return x.reshape(x.shape[0], x.shape[1] // factor, factor * x.shape[2])


class Transcribe(Model):
    """The text of each sample; `search` says how its symbols are found."""

    task = "transcribe"

    def __init__(self, run: Run, vocabulary: Vocabulary, schema: TranscribeSchema) -> None:
        super().__init__(run)
        self.vocabulary, self.schema = vocabulary, schema
        self.network = Network(run, vocabulary, schema.reductions)

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, *transcribe_schema(run.plan, run.schema, run.vocabulary))

    def read(self, path: Path) -> Sequence[Numbers]:
        text, inputs = self.schema.columns
        return read_samples(path, self.schema.signal, inputs=inputs, text=text).samples

    def answers(self, inputs: Sequence[Numbers]) -> list[dict[str, Any]]:
        return [{"text": text} for text in self.predict(inputs)]

    def logs(self, samples: Sequence[Numbers]) -> list[Logs]:
        """The scores log p (U, V) at every step of each sample."""
        found: list[Logs] = [np.zeros((0, self.plan.outputs), np.float32)] * len(samples)
        if len(samples):
            sizes = [len(sample) for sample in samples]
            for some in LengthBatches(sizes, _ROWS, 0, shuffle=False, steps=_STEPS).epoch(0):
                rows = [self.schema.scaler.transform(self.schema.signal.features(samples[k])) for k in some]
                logs, steps = self.network.logs(*pad_numbers(rows))
                for place, k in enumerate(some.tolist()):
                    found[k] = logs[place, : steps[place]].copy()
        return found

    def predict(self, inputs: Sequence[Numbers], search: Search = GREEDY) -> list[str]:
        """The text of each sample."""
        blank = self.vocabulary.pad
        return [self.vocabulary.decode(search.symbols(one, blank)) for one in self.logs(inputs)]

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        if self.plan.bidirectional:
            raise ArgumentError(
                "this run reads in both directions, so it needs the whole input; train with --causal for streams"
            )
        picked = chosen(TranscribeChoices, choices)
        search, helper = self._search(picked)
        text = Text(self.vocabulary, lambda: search.reader(self.vocabulary.pad), self.plan.outputs, helper)
        source = SignalInput.of(self.schema.signal, self.schema.scaler)
        groups = GroupStream(self.network.reduction, self.plan.inputs)
        network = StreamNetwork(lambda steps, _: steps, _StageLayers(self.network), groups)
        return Running(self.origin(picked.to_json()), source, network, text)

    def _search(self, choices: TranscribeChoices) -> tuple[Search, str | None]:
        """The search of a stream, and the fingerprint of the language model that helps. Raises ArgumentError."""
        language = choices.language
        if language is None:
            return Search(choices.beam, weight=choices.weight, bonus=choices.bonus), None
        if not isinstance(language, Language):
            raise ArgumentError(f"language is {type(language).__name__}; give a run of language, loaded by the runtime")
        companion = join(language, self.vocabulary)
        return Search(choices.beam, companion, choices.weight, choices.bonus), language.run.identity


class _StageLayers:
    """Stages with a state each, then log p of the symbols."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.states = [stage.initial_state(1) for stage in network.stages]

    def __call__(self, x: Numbers) -> Numbers:
        found, self.states = self.network.advance(x[None], self.states)
        one: Numbers = found[0]
        return one

    def fork(self) -> Self:
        return copy.copy(self)

    def save(self) -> Kept:
        both = zip(self.network.stages, self.states, strict=True)
        return Kept.join(**{f"stage{place}": kept_state(as_arrays(*pair)) for place, pair in enumerate(both)})

    def load(self, kept: Kept) -> None:
        stages = enumerate(self.network.stages)
        self.states = [as_state(stage, kept.within(f"stage{place}")) for place, stage in stages]
