"""Files to labelled sequences for the tagging task, and what is held out of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data import is_table, read_conll, read_steps, split_rows
from unrolled.data.conll import token_stream
from unrolled.data.film import find_films, is_film, open_film
from unrolled.data.film_labels import labels_file, read_film_labels
from unrolled.data.problems import Problems
from unrolled.data.steps import step_stream
from unrolled.data.text import text_lines
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.streams.numbers import RowsInput
from unrolled.streams.protocol import Input
from unrolled.streams.tag import FramesInput, WordsInput
from unrolled.tasks.film_input import FilmInput
from unrolled.tasks.model import Parts, entry
from unrolled.tasks.options import Common, TagOptions
from unrolled.tasks.sequence_inputs import group_column
from unrolled.tasks.step_inputs import FEW, NumberInput, StepInput

Label = str | int | float | bool


@dataclass(frozen=True)
class Layout:
    """How files are read: the kind of steps, the column of the label, of the sequence, of the features."""

    kind: str
    label: str | None = None
    sequence: str | None = None
    features: tuple[str, ...] = ()
    clock: str | None = None
    rate: float = 0.0
    size: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**vars(self), "features": list(self.features)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Layout:
        """What `to_json` wrote; raises RunError."""
        text = (str, type(None))
        features = entry(data, "features", list)
        if not all(isinstance(name, str) for name in features):
            raise RunError("the data's schema does not name the features")
        return cls(
            entry(data, "kind", str),
            entry(data, "label", *text),
            entry(data, "sequence", *text),
            tuple(features),
            entry(data, "clock", *text),
            entry(data, "rate", float, int),
            entry(data, "size", int),
        )


@dataclass(frozen=True)
class TagExamples:
    """Sequences with a label for each step, and how they were laid out; `skipped` were left out."""

    inputs: Sequence[Any]
    targets: Sequence[Sequence[Label]]
    layout: Layout
    groups: Sequence[Hashable] | None = None
    remarks: tuple[str, ...] = ()
    skipped: tuple[DataError, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Iterable[int]) -> TagExamples:
        """The sequences in these places."""
        places = list(rows)
        groups = None if self.groups is None else [self.groups[i] for i in places]
        inputs, targets = [self.inputs[i] for i in places], [self.targets[i] for i in places]
        return replace(self, inputs=inputs, targets=targets, groups=groups)

    def steps(self, part: slice) -> TagExamples:
        """These steps, given as a share from 0 to 1, of every sequence."""
        cuts = [slice(round(len(x) * part.start), round(len(x) * part.stop)) for x in self.inputs]
        inputs = [x[cut] for x, cut in zip(self.inputs, cuts, strict=True)]
        targets = [y[cut] for y, cut in zip(self.targets, cuts, strict=True)]
        some = [i for i, x in enumerate(inputs) if len(x)]
        return replace(self, inputs=inputs, targets=targets).take(some)


def read_examples(path: Path, layout: Layout, *, skip_bad: bool = False, group: str | None = None) -> TagExamples:
    """The labelled sequences of one file or folder, read as `layout` says. Raises DataError."""
    if layout.kind == "words":
        if group is not None:
            raise ArgumentError(f"group={group!r} needs a table with columns, and {path} has none; leave it out")
        data = read_conll(path, layout.label, skip_bad=skip_bad)
        return TagExamples(data.tokens, data.labels, layout, skipped=data.skipped)
    if layout.kind == "frames":
        return _films(path, layout, skip_bad=skip_bad, group=group)
    steps = read_steps(
        path,
        layout.label,
        sequence=layout.sequence,
        features=layout.features or None,
        clock=layout.clock,
        skip_bad=skip_bad,
    )
    remarks = tuple(f"column {name!r} of {path.name} is not read: {why}" for name, why in steps.aside.items())
    groups = group_column(path, group, [origin.row for origin in steps.origins])
    if steps.clock is not None and layout.clock is None:
        remarks += (f"column {steps.clock!r} of {path.name} is read as time of day and weekend",)
    layout = replace(layout, features=steps.features, clock=steps.clock)
    return TagExamples(steps.sequences, steps.labels, layout, groups, remarks, steps.skipped)


def _films(path: Path, layout: Layout, *, skip_bad: bool, group: str | None) -> TagExamples:
    """The film, or the films of a folder, with the label of each frame."""
    if group is not None:
        raise ArgumentError(f"group={group!r} needs a table with columns, and {path} has none; leave it out")
    problems = Problems(skip_bad)
    films, labels = [], []
    for file in find_films(path):
        try:
            film = open_film(file, rate=layout.rate, size=layout.size)
            labels.append(read_film_labels(labels_file(file), film, layout.label or "label"))
            films.append(film)
        except DataError as error:
            problems.report(error)
    return TagExamples(films, labels, layout, skipped=tuple(problems.found))


def read_parts(path: Path, options: TagOptions, common: Common) -> Parts[TagExamples]:
    """Training, validation and test part of what the options name. Raises DataError and ArgumentError."""
    parts_read = []
    layout = layout_of([path, *options.also], options)
    for file in training_files([path, *options.also]):
        parts_read.append(read_examples(file, layout, skip_bad=common.skip_bad, group=common.group))
        layout = parts_read[0].layout
    train = _joined(parts_read)
    if not len(train):
        raise DataError(f"none of it can be used, the first because of this: {train.skipped[0]}", path)
    test = None if common.test is None else read_examples(common.test, train.layout)
    if common.valid is not None:
        valid = read_examples(common.valid, train.layout)
        return Parts(train, valid, test, str(common.valid), train.remarks, train.skipped)
    parts = held_out(train, options.validation, common)
    return replace(parts, test=test, remarks=train.remarks, skipped=train.skipped)


def held_out(examples: TagExamples, share: float, common: Common) -> Parts[TagExamples]:
    """Hold out a share of the sequences, never of a group; of few sequences, or a single one, the end of each."""
    if share == 0:
        return Parts(examples, how="none")
    if not 0 < share < 1:
        raise ArgumentError(f"validation={share} of the data cannot be held out; give a number from 0 to below 1")
    if len(examples) < FEW and examples.groups is None:
        train, valid = examples.steps(slice(0, 1 - share)), examples.steps(slice(1 - share, 1))
        if not len(train) or not len(valid):
            return Parts(examples, how="none, because the data is too short")
        return Parts(train, valid, how=f"the last {share:.0%} of each sequence")
    rows, held = split_rows(len(examples), share, common.seed, groups=examples.groups)
    by = "" if examples.groups is None else f", no {common.group} in both parts"
    return Parts(examples.take(rows), examples.take(held), how=f"{share:.0%} of the sequences held out{by}")


def kind_of(path: Path) -> str:
    """What a file's steps are, by its name."""
    if is_film(path):
        return "frames"
    return "numbers" if is_table(path) else "words"


def layout_of(paths: Sequence[Path], options: TagOptions) -> Layout:
    """How the training files are read; all must be of one kind."""
    files = training_files(paths)
    kind = kind_of(files[0])
    if unlike := [file for file in files if kind_of(file) != kind]:
        raise DataError(f"this file holds other steps than {files[0]}; give training files of one kind", unlike[0])
    if kind == "numbers":
        return Layout(kind, options.label or "label", options.sequence, options.features, options.clock)
    if kind == "frames":
        return Layout(kind, options.label or "label", rate=options.rate, size=options.size)
    return Layout(kind, options.label)


def training_files(paths: Sequence[Path]) -> list[Path]:
    """Every file, and those of the folders among the paths."""
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    """The file, or the films, or else the tables or CoNLL files, of a folder in the order of their names."""
    if not path.is_dir() or is_film(path):
        return [path]
    if any(is_film(entry) for entry in path.iterdir()):
        return find_films(path)
    found = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not found:
        raise DataError("the folder holds no file; put tables, CoNLL files or films into it", path)
    return found


def _joined(parts: Sequence[TagExamples]) -> TagExamples:
    """The sequences of several files as one part."""
    first = parts[0]
    return TagExamples(
        [x for part in parts for x in part.inputs],
        [y for part in parts for y in part.targets],
        first.layout,
        None if first.groups is None else [key for part in parts for key in (part.groups or ())],
        first.remarks,
        tuple(error for part in parts for error in part.skipped),
    )


def similar(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of sequences of similar length, so many that they have at most `most` steps together, or one."""
    rows: list[int] = []
    for place in np.argsort(lengths, kind="stable").tolist():
        if rows and (len(rows) + 1) * lengths[place] > most:
            yield rows
            rows = []
        rows.append(place)
    if rows:
        yield rows


def input_stream(reader: StepInput) -> Input:
    """What turns parts of a stream into steps; ArgumentError where these need the whole sequence."""
    if isinstance(reader, NumberInput):
        if reader.own:
            raise ArgumentError(
                "this run brings each sequence to mean 0 by itself, which needs the whole of it; train it with causal"
            )
        return RowsInput(reader.scaler, reader.differences, reader.levels)
    return FramesInput(reader.size) if isinstance(reader, FilmInput) else WordsInput()


def unlabelled(path: Path, layout: Layout, reader: StepInput) -> list[Any]:
    """The sequences of a file without their labels: lines of words, rows of a table, films. Raises DataError."""
    if layout.kind == "frames":
        return [open_film(file, rate=layout.rate, size=layout.size) for file in find_films(path)]
    if layout.kind == "words":
        steps: Iterable[tuple[Any, Any]] = (
            (number, word) for number, _, word in token_stream(text_lines(str(path)), path)
        )
    else:
        lines = text_lines(str(path))
        found = step_stream(lines, layout.features, layout.sequence, path, clock=layout.clock)
        steps = ((key, values) for _, key, values in found)
    sequences: dict[Any, list[Any]] = {}
    for key, value in steps:
        sequences.setdefault(key, []).append(value)
    return [reader.joined(sequence) for sequence in sequences.values()]
