"""What the tasks with one answer a sequence make of texts and of numbers. No torch here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data import Scaler, Vocabulary, is_table, read_inputs, read_series, read_table
from unrolled.data.genome import clean, kmers
from unrolled.data.series_changes import fill_missing
from unrolled.errors import ArgumentError
from unrolled.tasks.reading import Reading

# Texts, or arrays (T, F); all of one kind.
Inputs = Sequence[Any]


def encoded(inputs: Inputs, vocabulary: Vocabulary | None, scaler: Scaler | None, width: int) -> list[npt.NDArray[Any]]:
    """Texts to ids (T,), arrays of `width` to scaled numbers (T, F). Raises ArgumentError where the kind is another."""
    if vocabulary is not None:
        for place, text in enumerate(inputs):
            if not isinstance(text, str):
                raise ArgumentError(f"sequence {place + 1} is {type(text).__name__}, this model reads texts; give str")
        return list(vocabulary.encode_all(inputs))
    found: list[npt.NDArray[Any]] = []
    width = width if scaler is None else len(scaler.mean)
    for place, row in enumerate(inputs):
        if isinstance(row, str) or row.ndim != 2 or row.shape[1] != width:
            what = "a text" if isinstance(row, str) else f"of shape {row.shape}"
            raise ArgumentError(
                f"sequence {place + 1} is {what}, this model reads {width} numbers a step; give arrays (T, {width})"
            )
        found.append(row if scaler is None else scaler.transform(row))
    return found


def spelled(text: Any, k: int) -> str:
    """DNA as the vocabulary reads it; raises ArgumentError where it is none, DataError for an illegal letter."""
    if not isinstance(text, str):
        raise ArgumentError(f"a sequence is {type(text).__name__}, this model reads DNA; give str")
    return clean(text) if k == 1 else kmers(clean(text), k)


def encoded_classes(
    inputs: Inputs, reading: Reading, vocabulary: Vocabulary | None, scaler: Scaler | None, *, marks: bool
) -> list[npt.NDArray[Any]]:
    """`encoded` for a classifier, which reads DNA, and series with missing numbers."""
    if reading.kind == "dna":
        inputs = [spelled(text, reading.kmer) for text in inputs]
    found = encoded(inputs, vocabulary, scaler, 0)
    return found if vocabulary is not None else [fill_missing(row, marks=marks) for row in found]


def decided(logits: npt.NDArray[np.floating], *, several: bool) -> npt.NDArray[Any]:
    """The likeliest class (N,), or 0 and 1 (N, C): every label likelier than not."""
    return (logits > 0).astype(np.float32) if several else logits.argmax(1)


def named(marks: npt.NDArray[Any], classes: Sequence[Any], *, several: bool) -> list[Any]:
    """The label of each sequence, or the tuple of its labels."""
    if several:
        return [tuple(name for name, mark in zip(classes, row, strict=True) if mark) for row in marks]
    return [classes[number] for number in marks]


def group_column(path: Path, column: str | None, rows: Sequence[int | None]) -> list[Hashable] | None:
    """The group of each of these rows of a table, None where no column is asked for."""
    if column is None:
        return None
    table = read_table(path, skip_bad=True)
    place = dict(zip(table.rows, table.column(column), strict=True))
    return [place[row] for row in rows if row is not None]


def regress_inputs(path: Path, columns: dict[str, Any]) -> Inputs:
    """The sequences of a file whose targets, if it has any, are left aside. Raises DataError."""
    if columns["text"] is not None:
        return read_inputs(path, column=columns["text"] if is_table(path) else None).texts
    if path.suffix == ".npz":
        return read_series(path, inputs=columns["inputs"]).sequences
    features = None
    if columns["inputs"] is None:
        aside = {*columns["target"], columns["sequence"]}
        features = [name for name in read_table(path).columns if name not in aside]
    return read_series(path, group=columns["sequence"], inputs=columns["inputs"], features=features).sequences
