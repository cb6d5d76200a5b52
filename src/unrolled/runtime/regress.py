"""A regression without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unrolled.runtime.model import Run
from unrolled.runtime.sequences import Sequences
from unrolled.streams.numbers import SeriesInput
from unrolled.streams.running import NoChoices, Running, chosen
from unrolled.streams.text import TextInput
from unrolled.streams.verdict import numbers_of
from unrolled.tasks.schemas import RegressSchema, regress_schema, target_names
from unrolled.tasks.sequence_inputs import Inputs, encoded, regress_inputs


class Regress(Sequences):
    """Numbers for a sequence, in the units of the training data; `names` says what they are."""

    task = "regress"

    def __init__(self, run: Run, schema: RegressSchema) -> None:
        super().__init__(run)
        self.schema = schema
        self.names = target_names(schema.columns["target"], run.plan.outputs)

    @classmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        return partial(cls, run, regress_schema(run.plan, run.schema))

    def read(self, path: Path) -> Inputs:
        return regress_inputs(path, self.schema.columns)

    def answers(self, inputs: Inputs) -> list[dict[str, Any]]:
        return [self._said(row) for row in self.outputs(inputs).astype(np.float64)]

    @property
    def _said(self) -> Callable[[npt.NDArray[np.float64]], dict[str, Any]]:
        targets = self.schema.target_scaler
        return numbers_of(self.names, targets.scale, targets.mean)

    def encode(self, inputs: Inputs) -> list[npt.NDArray[Any]]:
        return encoded(inputs, self.run.vocabulary, self.schema.scaler, self.plan.inputs)

    def predict(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """The numbers (N, K) for each sequence."""
        scaler = self.schema.target_scaler
        found: npt.NDArray[np.float64] = self.outputs(inputs).astype(np.float64) * scaler.scale + scaler.mean
        return found

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        chosen(NoChoices, choices)
        vocabulary = self.run.vocabulary
        if vocabulary is not None:
            return self.verdicts(TextInput(vocabulary), self._said)
        if self.schema.scaler is None:
            raise TypeError("numbers have a scaler")
        return self.verdicts(SeriesInput(self.schema.scaler, missing=False, marks=False), self._said)
