"""`Tagger`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from unrolled.data.film import Film, is_film, open_film
from unrolled.data.film_labels import labels_file, read_film_labels
from unrolled.errors import ArgumentError
from unrolled.tasks.arrays import as_sequences
from unrolled.tasks.estimators.base import Estimator
from unrolled.tasks.model import TaskModel
from unrolled.tasks.options import Common, TagOptions, option
from unrolled.tasks.run import Config
from unrolled.tasks.tag import TagTask
from unrolled.tasks.tag_parts import Layout, TagExamples, held_out


@dataclass(kw_only=True, repr=False, eq=False)
class Tagger(Estimator, TagOptions):
    """Label every step of sequences: p(y_t | x_1 ... x_T) = softmax(V h_t + b); causal: p(y_t | x_1 ... x_t).

    `fit(X, y)`: X are n lists of words, or n arrays (T_i, F), or (n, T, F), or n paths of films, of which `rate` frames
    a second are read; y are n rows of T_i labels, None for films with a table of labels beside each. `cell` is a name
    or a Cell.

    >>> model = Tagger().fit([["The", "dog", "barks"]], [["DET", "NOUN", "VERB"]])  # doctest: +SKIP
    """

    cell: Any = option("gru", "a cell's name or a Cell")
    also: tuple[Path, ...] = field(default=(), init=False)
    label: str | None = field(default=None, init=False)
    sequence: str | None = field(default=None, init=False)
    features: tuple[str, ...] = field(default=(), init=False)
    clock: str | None = field(default=None, init=False)

    task: ClassVar[str] = "tag"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sequences and their labels; raises ArgumentError (a ValueError) where they cannot be used."""
        layout = _layout(X, self)
        sequences = as_steps(X, layout)
        examples = TagExamples(sequences, _labels(y, sequences), layout)
        parts = held_out(examples, self.validation, Common(seed=self.seed))
        self._fit(parts)
        return self

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        super()._take(model, config, rows)
        self.classes_ = np.array(model.classes)  # type: ignore[attr-defined]  # a TagTask

    def predict(self, X: Any) -> list[npt.NDArray[Any]]:
        """The label of each step, an array (T_i,) for each sequence."""
        model: TagTask = self._fitted
        return [np.array(row, dtype=self.classes_.dtype) for row in model.predict(as_steps(X, model.layout))]

    def predict_proba(self, X: Any) -> list[npt.NDArray[np.float64]]:
        """p(label) at each step, an array (T_i, K) in the order of `classes_` for each sequence."""
        model: TagTask = self._fitted
        return model.probabilities(as_steps(X, model.layout))

    def score(self, X: Any, y: Any) -> float:
        """Share of the steps whose label is right."""
        model: TagTask = self._fitted
        sequences = as_steps(X, model.layout)
        return model.measure(TagExamples(sequences, _labels(y, sequences), model.layout))["accuracy"]


def as_steps(X: Any, layout: Layout) -> list[Any]:
    """Tuples of words, arrays (T, F), or films. Raises ArgumentError for anything else, a plain text among it."""
    if layout.kind == "frames" and isinstance(X, list | tuple) and all(isinstance(path, str | Path) for path in X):
        return [open_film(path, rate=layout.rate, size=layout.size) for path in X]
    if isinstance(X, list | tuple) and X and isinstance(X[0], list | tuple) and X[0] and isinstance(X[0][0], str):
        return [tuple(words) for words in X]
    sequences = as_sequences(X)
    if isinstance(sequences[0], str):
        raise ArgumentError("X holds texts, a tagger needs words; give lists of words, as text.split() makes them")
    return sequences


def _layout(X: Any, options: TagOptions) -> Layout:
    """As a file of the same sequences would be laid out, so that a saved run reads one."""
    if isinstance(X, list | tuple) and X and isinstance(X[0], str | Path) and is_film(Path(X[0])):
        return Layout("frames", "label", rate=options.rate, size=options.size)
    sequences = as_steps(X, Layout("words"))
    if isinstance(sequences[0], tuple):
        return Layout("words")
    names = tuple(f"x{place}" for place in range(1, sequences[0].shape[1] + 1))
    return Layout("numbers", "label", None, names)


def _labels(y: Any, sequences: Sequence[Any]) -> list[list[Any]]:
    if y is None and isinstance(sequences[0], Film):
        return [list(read_film_labels(labels_file(film.path), film)) for film in sequences]
    if y is None or len(y) != len(sequences):
        have = "none" if y is None else len(y)
        raise ArgumentError(f"X has {len(sequences)} sequences and y has {have}; give a row of labels for each")
    rows = [row.tolist() if isinstance(row, np.ndarray) else list(row) if isinstance(row, tuple) else row for row in y]
    for place, (row, sequence) in enumerate(zip(rows, sequences, strict=True)):
        if not isinstance(row, list) or len(row) != len(sequence):
            have = f"{len(row)} labels" if isinstance(row, list) else "one label"
            raise ArgumentError(f"y[{place}] is {have} for the {len(sequence)} steps of X[{place}]; give one a step")
    if len({type(name) for row in rows for name in row}) > 1:
        raise ArgumentError("y holds labels of several types; give all as str or all as int")
    return rows
