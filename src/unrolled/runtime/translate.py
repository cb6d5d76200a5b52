"""A translator without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from unrolled.data.documents import read_lines
from unrolled.data.vocabulary import PairVocabulary
from unrolled.decode import Advance, BeamSearch
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Attention, Embedding, Ids, Linear, Memory, log_softmax
from unrolled.runtime.recurrent import Recurrent, State, take_rows
from unrolled.runtime.weights import Array
from unrolled.tasks.schemas import TranslateSchema, translate_schema
from unrolled.tasks.translation import BORDER, Translation, Translator


class Writing(NamedTuple):
    """What a search goes on from: the source, the decoder's state and, with input feeding, the last vector (B, F)."""

    memory: Memory
    state: State
    fed: Array | None


class Network:
    """An encoder and a decoder with attention; see `models.TranslationNetwork`."""

    def __init__(self, run: Run, vocabulary: PairVocabulary, schema: TranslateSchema) -> None:
        plan, weights, size = run.plan, run.weights, len(vocabulary.target)
        self.source = Embedding(len(vocabulary), plan.inputs, weights.under("source"))
        joint = vocabulary.joint
        self.target = self.source if joint else Embedding(size, plan.inputs, weights.under("target"))
        self.encoder = run.recurrent("encoder")
        width = self.encoder.output_size
        self.width = plan.inputs if plan.tied else width
        reads = plan.inputs + self.width * schema.input_feeding
        shape = replace(run.shape(), inputs=reads, hidden=width, bidirectional=False)
        self.decoder = Recurrent(shape, weights.under("decoder"))
        self.attention = Attention(schema.attention, width, width, weights.under("attention"))
        self.join = Linear(2 * width, self.width, weights.under("join"), bias=False)
        output = weights.under("output")
        self.output = Linear.tied(self.target.weight, output) if plan.tied else Linear(width, size, output)
        self.input_feeding = schema.input_feeding
        self.gain = np.float32(math.sqrt(plan.inputs))

    def begin(self, ids: Ids, lengths: Ids) -> Writing:
        """What there is to look at in ids (B, S), and where the decoder starts."""
        vectors = self.source(ids)
        outputs, state = self.encoder(vectors * self.gain if self.target is self.source else vectors, lengths=lengths)
        # The states of two directions stand side by side.
        start = tuple((tuple(np.concatenate(parts, 1) for parts in zip(*layer, strict=True)),) for layer in state)
        fed = np.zeros((len(ids), self.width), np.float32) if self.input_feeding else None
        return Writing(self.attention.memory(outputs, lengths), start, fed)

    def advance(self, tokens: Ids, rows: Ids, state: Writing) -> Advance[Any]:
        """One token after these rows: log p of the next (N, V), what to go on from, and where it looked (N, S)."""
        memory, x = state.memory.take(rows), self.gain * self.target(tokens)
        if state.fed is not None:
            x = np.concatenate((x, state.fed[rows]), 1)
        hidden, after = self.decoder.step(x, take_rows(state.state, rows))
        contexts, weights = self.attention(hidden[:, None], memory)
        vectors = np.tanh(self.join(np.concatenate((contexts[:, 0], hidden), 1)))
        logs = log_softmax(self.output(vectors))
        return Advance(logs, Writing(memory, after, None if state.fed is None else vectors), weights[:, 0])


class Translate(Model):
    """Translations of texts, by beam search."""

    task = "translate"

    def __init__(self, run: Run, vocabulary: PairVocabulary, schema: TranslateSchema) -> None:
        super().__init__(run)
        self.search = schema.search
        self.translator = Translator(Network(run, vocabulary, schema), vocabulary, BORDER, schema.stretch)

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, *translate_schema(run.plan, run.schema, run.vocabulary))

    def read(self, path: Path) -> list[str]:
        return read_lines(path).texts

    def answers(self, inputs: Sequence[str]) -> list[dict[str, Any]]:
        best = [found[0] for found in self.translate(inputs)]
        return [{"text": one.text, "log_probability": one.log_probability} for one in best]

    def translate(self, texts: Sequence[str], search: BeamSearch | None = None) -> list[list[Translation]]:
        """The best translations of each text; `search` in place of the run's own beam."""
        return self.translator.translate(texts, search or self.search)

    def predict(self, inputs: Sequence[str]) -> list[str]:
        """The best translation of each text."""
        return [found[0].text for found in self.translate(inputs)]
