"""`Classifier`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError
from unrolled.tasks.arrays import as_labels, as_sequences
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.estimators.base import OnSequences
from unrolled.tasks.model import TaskModel
from unrolled.tasks.options import ClassifyOptions, option
from unrolled.tasks.reading import Reading
from unrolled.tasks.run import Config
from unrolled.train import accuracy


@dataclass(kw_only=True, repr=False, eq=False)
class Classifier(OnSequences, ClassifyOptions):
    """Label sequences: p(y | x_1 ... x_T) = softmax(V pool(h_1 ... h_T) + b).

    `fit(X, y)`: X are n texts, or numbers (n, T, F), or (n, T) as T steps of one number, or n arrays of unlike lengths
    (T_i, F). y are n labels, n lists of labels, or an indicator matrix. `cell` is a name or a Cell. With
    `read_as="dna"` the texts are DNA, with `read_as="sound"` they are paths of sounds. What is None depends on the kind
    of X, see `unrolled train classify --help`.

    >>> model = Classifier(cell="gru").fit(texts, labels)  # doctest: +SKIP
    """

    cell: Any = option("gru", "a cell's name or a Cell")
    text: str = field(default="text", init=False)
    label: str = field(default="label", init=False)
    separator: str | None = field(default=None, init=False)
    file: str | None = field(default=None, init=False)
    dna: str | None = field(default=None, init=False)
    sequence: str | None = field(default=None, init=False)
    time: str | None = field(default=None, init=False)
    inputs: str | None = field(default=None, init=False)
    missing: str | None = field(default=None, init=False)

    task: ClassVar[str] = "classify"
    kind: ClassVar[str | None] = "classifier"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sequences and their labels; raises ArgumentError (a ValueError) where they cannot be used."""
        reading = None
        if self.read_as == "sound":
            files = _paths(X)
            reading = Reading.of_sounds(files, self)
            sequences: list[Any] = reading.sounds(files)
        else:
            sequences = as_sequences(X)
        labels = as_labels(y, len(sequences))
        several = isinstance(labels[0], tuple)
        self._fit_examples(X, sequences, labels, None if several else labels, reading)
        self.indicator_ = several and not isinstance(y, list)
        return self

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        super()._take(model, config, rows)
        self.classes_ = np.array(cast(ClassifyTask, model).classes)
        self.indicator_ = False

    def _sequences(self, X: Any) -> list[Any]:
        model: ClassifyTask = self._fitted
        if model.reading.kind == "sound" and not isinstance(X, np.ndarray):
            return list(model.reading.sounds(_paths(X)))
        return super()._sequences(X)

    def predict(self, X: Any) -> Any:
        """The label of each sequence (n,); where there may be several, tuples, or 0 and 1 (n, C) if y was so."""
        model: ClassifyTask = self._fitted
        sequences = self._sequences(X)
        if self.indicator_:
            return model.decide(model.outputs(sequences)).astype(np.int64)
        answers = model.predict(sequences)
        return answers if model.several else np.array(answers, dtype=self.classes_.dtype)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """p(class | sequence) (n, C), in the order of `classes_`."""
        model: ClassifyTask = self._fitted
        return model.probabilities(self._sequences(X))

    def score(self, X: Any, y: Any) -> float:
        """Accuracy; with several labels a row all of them must be right."""
        model: ClassifyTask = self._fitted
        sequences = self._sequences(X)
        return accuracy(
            model.targets(as_labels(y, len(sequences), any_number=True)), model.decide(model.outputs(sequences))
        )


def _paths(X: Any) -> list[Path]:
    """Paths of sounds; raises ArgumentError for anything else."""
    if isinstance(X, str | Path) or not len(X) or not all(isinstance(one, str | Path) for one in X):
        raise ArgumentError("X must be a sequence of paths of sounds; give at least one, such as ['a.wav']")
    return [Path(one) for one in X]
