"""A tagger without torch: a label at every step of words, rows of numbers or frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unrolled.decode import softmax
from unrolled.errors import ArgumentError
from unrolled.runtime.crf import ConditionalRandomField
from unrolled.runtime.model import Model, Run
from unrolled.runtime.parts import Embedding, Ids, Linear, Pooling
from unrolled.runtime.recurrent import Recurrent
from unrolled.runtime.stream import RuntimeLayers
from unrolled.runtime.vision import FrameEncoder
from unrolled.runtime.weights import Array, Weights
from unrolled.streams.network import StreamNetwork
from unrolled.streams.running import NoChoices, Running, chosen
from unrolled.streams.tag import Labels
from unrolled.tasks.film_input import FilmInput
from unrolled.tasks.schemas import TagSchema, tag_schema
from unrolled.tasks.step_inputs import FORMS, NumberInput, WordInput
from unrolled.tasks.tag_parts import Label, input_stream, similar, unlabelled

_FORM_WIDTH = 8
# Steps that are read at once.
_AT_ONCE = 16384


class WordEncoder:
    """[vector of the word; last states over its characters; vector of its form]; see `models.WordEncoder`."""

    def __init__(self, run: Run, reader: WordInput, weights: Weights) -> None:
        self.words = Embedding(len(reader.words), run.plan.inputs, weights.under("words"))
        self.forms = weights.take("forms", len(FORMS), _FORM_WIDTH)
        self.output_size = run.plan.inputs + _FORM_WIDTH
        self.spelling = None
        if reader.spelling:
            width = min(32, reader.spelling)
            self.characters = Embedding(len(reader.characters), width, weights.under("characters"))
            shape = replace(run.shape(), inputs=width, hidden=reader.spelling, layers=1, bidirectional=True)
            self.spelling = Recurrent(shape, weights.under("spelling"))
            size = self.spelling.output_size
            self.pooling = Pooling("last", size, weights.under("pooling"), bidirectional=True)
            self.output_size += size

    def __call__(self, words: tuple[Ids, ...]) -> Array:
        ids, forms, which, characters, lengths = words
        parts = [self.words(ids), self.forms[forms]]
        if self.spelling is not None:
            read, _ = self.spelling(self.characters(characters), lengths=lengths)
            parts.append(self.pooling(read, lengths)[which])
        return np.concatenate(parts, 2)


class Tag(Model):
    """The label of every step of a sequence; `classes` are in the order of the columns of `predict_proba`."""

    task = "tag"

    def __init__(self, run: Run, schema: TagSchema) -> None:
        super().__init__(run)
        self.schema, self.classes = schema, schema.classes
        reader, weights = schema.reader, run.weights
        self.encoder: Callable[[Any], Array] | None = None
        if isinstance(reader, WordInput):
            self.encoder = words = WordEncoder(run, reader, weights.under("encoder"))
            width = words.output_size
        elif isinstance(reader, FilmInput):
            self.encoder, width = FrameEncoder(reader.size, run.plan.inputs, weights.under("encoder")), run.plan.inputs
        else:
            width = reader.width
            self.encoder = np.tanh if isinstance(reader, NumberInput) and any(reader.drift) else None
        self.recurrent = Recurrent(replace(run.shape(), inputs=width), weights.under("recurrent"))
        self.output = Linear(self.recurrent.output_size, run.plan.outputs, weights.under("output"))
        self.crf = ConditionalRandomField(run.plan.outputs, weights.under("crf")) if schema.crf else None

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, tag_schema(run.plan, run.schema, run.vocabulary))

    def read(self, path: Path) -> list[Any]:
        return unlabelled(path, self.schema.layout, self.schema.reader)

    def answers(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        both = zip(self.predict(inputs), self.predict_proba(inputs), strict=True)
        return [{"labels": labels, "probabilities": p.max(1).tolist()} for labels, p in both]

    def predict(self, inputs: Sequence[Any]) -> list[list[Label]]:
        """The label of every step of each sequence."""
        found: list[list[Label]] = [[] for _ in inputs]
        for rows, scores, lengths in self._scores(inputs):
            best = scores.argmax(2) if self.crf is None else self.crf.decode(scores, lengths)
            for place, row, length in zip(rows, best.tolist(), lengths, strict=True):
                found[place] = [self.classes[k] for k in row[:length]]
        return found

    def predict_proba(self, inputs: Sequence[Any]) -> list[npt.NDArray[np.float64]]:
        """p(label) at every step, (T, K), of each sequence."""
        found = [np.zeros((0, len(self.classes)))] * len(inputs)
        for rows, scores, lengths in self._scores(inputs):
            exact = scores.astype(np.float64)
            p = softmax(exact) if self.crf is None else self.crf.marginals(exact, lengths)
            for place, row, length in zip(rows, p, lengths, strict=True):
                found[place] = row[:length]
        return found

    def _scores(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Array, Ids]]:
        """Places, scores (B, T, K) and lengths (B,) of all sequences, those of similar length together."""
        reader = self.schema.reader
        prepared = reader.prepare_all(inputs)
        for rows in similar([len(sequence) for sequence in prepared], min(_AT_ONCE, reader.batch_steps)):
            lengths = np.array([len(prepared[k]) for k in rows])
            if len(rows) == 1:
                features = self._encoded(prepared[rows[0]])
            else:
                features = self._features(reader.arrays([prepared[k] for k in rows]))
            yield rows, self.output(self.recurrent(features, lengths=lengths)[0]), lengths

    def _encoded(self, sequence: Any) -> Array:
        """Features (1, T, F) of one prepared sequence, encoded in parts where it is long."""
        reader = self.schema.reader
        parts = (sequence[at : at + reader.limit] for at in range(0, len(sequence), reader.limit))
        return np.concatenate([self._features(reader.arrays([part])) for part in parts], 1)

    def _features(self, inputs: Any) -> Array:
        found: Array = inputs if self.encoder is None else self.encoder(inputs)
        return found

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        if self.plan.bidirectional or self.crf is not None:
            raise ArgumentError(
                "this run reads a whole sequence before it answers, so it cannot answer step by step; train it with "
                "causal"
            )
        chosen(NoChoices, choices)
        source = input_stream(self.schema.reader)
        network = StreamNetwork(lambda steps, _: self._encoded(steps)[0], RuntimeLayers(self.recurrent, self.output))
        return Running(self.origin(), source, network, Labels(self.classes))
