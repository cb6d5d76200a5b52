"""A classifier without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unrolled.data.genome import clean, reverse_complement
from unrolled.decode import softmax
from unrolled.runtime.model import Run
from unrolled.runtime.sequences import Sequences
from unrolled.runtime.weights import Array
from unrolled.streams.running import NoChoices, Running, chosen
from unrolled.streams.verdict import label_of, labels_of
from unrolled.tasks.schemas import ClassifySchema, classify_schema
from unrolled.tasks.sequence_inputs import Inputs, decided, encoded_classes, named
from unrolled.tasks.streams.inputs import classify_input


class Classify(Sequences):
    """The label of a sequence, or several; `classes` are in the order of the columns of `predict_proba`."""

    task = "classify"

    def __init__(self, run: Run, schema: ClassifySchema) -> None:
        super().__init__(run)
        self.schema = schema
        self.classes = schema.classes

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, classify_schema(run.plan, run.schema))

    def read(self, path: Path) -> Inputs:
        return self.schema.reading.unlabelled(path).inputs

    def answers(self, inputs: Inputs) -> list[dict[str, Any]]:
        return [self._said(logits) for logits in self.outputs(inputs).astype(np.float64)]

    @property
    def _said(self) -> Callable[[npt.NDArray[np.float64]], dict[str, Any]]:
        return labels_of(self.classes) if self.schema.several else label_of(self.classes)

    def encode(self, inputs: Inputs) -> list[npt.NDArray[Any]]:
        schema = self.schema
        return encoded_classes(inputs, schema.reading, self.run.vocabulary, schema.scaler, marks=schema.marks)

    def outputs(self, inputs: Inputs, *, pooled: bool = False) -> Array:
        found = super().outputs(inputs, pooled=pooled)
        if not self.schema.reading.both_strands:
            return found
        other = super().outputs([reverse_complement(clean(text)) for text in inputs], pooled=pooled)
        return np.float32(0.5) * (found + other)

    def predict_proba(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """p(class | sequence), (N, C); rows sum to 1 unless there may be several labels."""
        logits = self.outputs(inputs).astype(np.float64)
        if not self.schema.several:
            return softmax(logits)
        with np.errstate(over="ignore"):
            found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return found

    def predict(self, inputs: Inputs) -> list[Any]:
        """The label of each sequence, or the tuple of its labels."""
        several = self.schema.several
        return named(decided(self.outputs(inputs), several=several), self.classes, several=several)

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        schema = self.schema
        chosen(NoChoices, choices)
        source = classify_input(schema.reading, self.run.vocabulary, schema.scaler, marks=schema.marks)
        return self.verdicts(source, self._said)
