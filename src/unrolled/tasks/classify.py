"""Classification: one label, or any number of labels, for a whole sequence (many to one)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.data import Labelled, Scaler, Vocabulary, check_labels
from unrolled.data.genome import clean, reverse_complement
from unrolled.data.large.rows import LargeRows
from unrolled.data.series_changes import augment_series
from unrolled.data.voicing import augment_voiced
from unrolled.errors import ArgumentError, DataError
from unrolled.streams.running import Running
from unrolled.tasks.large_rows import groups_of, labelled, large_tables, open_rows
from unrolled.tasks.model import Parts, TaskModel, epochs_for
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.options import ClassifyOptions, Common
from unrolled.tasks.reading import Found, Reading, recognise
from unrolled.tasks.schemas import classify_schema
from unrolled.tasks.sequence_inputs import Inputs, decided, encoded_classes, group_column, named, spelled
from unrolled.tasks.sequences import Batch, Change, Examples, SequenceTask, make, part_off
from unrolled.train import BatchSource, Carry, LossOutput, accuracy, confusion_matrix, macro_f1

Class = str | int | float | bool


class ClassifyTask(SequenceTask):
    """p(y | x_1 ... x_T) = softmax(V pool(h_1 ... h_T) + b); with several labels a row, sigmoid for each label.

    `classes` are sorted; a target is one of them, or a tuple of any number of them where `several`. `reading` says
    what the sequences are: text, DNA as bases or k-mers, sound as log-mel features, or series, in which a missing
    number is the last one before it, and `marks` says whether each number comes with a 1 where it is known.
    """

    task: ClassVar[str] = "classify"
    metric: ClassVar[str] = "accuracy"
    large: ClassVar[bool] = True
    overfits: ClassVar[bool] = True

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: Vocabulary | None,
        scaler: Scaler | None,
        *,
        classes: Sequence[Class],
        several: bool,
        reading: Reading,
        marks: bool = False,
    ) -> None:
        super().__init__(plan, vocabulary, scaler)
        self.classes = list(classes)
        self.several = several
        self.reading = reading
        self.marks = marks
        self.weights: Tensor | None = None
        self._number = {name: place for place, name in enumerate(self.classes)}

    @classmethod
    def read(cls, path: Path, options: ClassifyOptions, common: Common) -> Parts[Examples]:
        reading, found, groups = cls._training(path, options, common)
        examples = Examples(found.inputs, found.labels, groups, reading)
        others = {
            name: reading.labelled(file, skip_bad=common.skip_bad)
            for name, file in (("valid", common.valid), ("test", common.test))
            if file is not None
        }
        parts = {name: Examples(other.inputs, other.labels, None, reading) for name, other in others.items()}
        everything = (found, *others.values())
        remarks = (*_remark(reading, found.inputs), *(remark for part in everything for remark in part.remarks))
        skipped = tuple(error for part in everything for error in part.skipped)
        if "valid" in parts:
            return Parts(examples, parts["valid"], parts.get("test"), str(common.valid), remarks, skipped)
        options = options.for_kind(reading.kind, len(examples))
        own = part_off(examples, options, common, None if options.separator else found.labels)
        return Parts(own.train, own.valid, parts.get("test"), own.how, remarks, skipped)

    @classmethod
    def _training(
        cls, path: Path, options: ClassifyOptions, common: Common
    ) -> tuple[Reading, Found, list[Hashable] | None]:
        """The training rows, and how their file is read."""
        plain = options.read_as in ("auto", "text") and options.separator is None and options.positions is None
        if files := large_tables(path, options.text if plain else None, options, common):
            rows = open_rows(files, options.text, options, common, names=(options.label,), numbers=())
            rows, labels, skipped = labelled(rows, options.label, common)
            reading = Reading("text", options.text, options.label)
            return reading, Found(rows, labels, [], skipped), groups_of(rows, common)
        reading = recognise(path, options, common.group)
        found = reading.labelled(path, skip_bad=common.skip_bad)
        check_labels(Labelled(path, [""] * len(found.labels), found.labels, found.origins))
        return reading, found, group_column(path, common.group, [origin.row for origin in found.origins])

    @classmethod
    def settle(cls, options: ClassifyOptions, parts: Parts[Examples]) -> ClassifyOptions:
        train = parts.train
        reading = _layout(train, options)
        if options.positions is None:
            cut_alike = reading.kind == "dna" and len({len(text) for text in train.inputs}) == 1
            options = replace(options, positions=cut_alike)
        return options.for_kind(reading.kind, len(train) + len(parts.valid or ()))

    @classmethod
    def build(cls, parts: Parts[Examples], options: ClassifyOptions, start: TaskModel[Any] | None = None) -> Self:
        options = cls.settle(options, parts)
        labels, inputs = parts.train.targets, parts.train.inputs
        several = any(isinstance(label, tuple) for label in labels)
        classes = sorted({name for label in labels for name in (label if several else (label,))})
        reading = _layout(parts.train, options)
        marks = reading.kind == "series" and any(np.isnan(row).any() for row in inputs)
        if reading.kind == "dna":
            options = replace(options, units="char" if reading.kmer == 1 else "word")
            inputs = [spelled(text, reading.kmer) for text in inputs]
        made = make(inputs, options, len(classes), start)
        plan = replace(made.plan, inputs=2 * made.plan.inputs) if marks else made.plan
        if options.positions and made.vocabulary is not None:
            plan = replace(plan, positions=max(map(len, made.vocabulary.encode_all(inputs))))
        model = cls(plan, made.vocabulary, made.scaler, classes=classes, several=several, reading=reading, marks=marks)
        model.use_vectors(made.vectors)
        model.notes = made.notes
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        found = classify_schema(plan, schema)
        return cls(
            plan,
            vocabulary,
            found.scaler,
            classes=found.classes,
            several=found.several,
            reading=found.reading,
            marks=found.marks,
        )

    def schema(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "several": self.several,
            "reading": self.reading.to_json(),
            "marks": self.marks,
            **self.input_schema(),
        }

    def read_part(self, path: Path) -> Examples:
        found = self.reading.labelled(path)
        return Examples(found.inputs, found.labels, None, self.reading)

    def read_inputs(self, path: Path) -> Found:
        """The sequences of a file, with or without labels, and where each stands. Raises DataError."""
        return self.reading.unlabelled(path)

    def encode(self, inputs: Inputs) -> Sequence[npt.NDArray[Any]]:
        if isinstance(inputs, LargeRows):
            return super().encode(inputs)
        return encoded_classes(inputs, self.reading, self.vocabulary, self.scaler, marks=self.marks)

    def outputs(self, inputs: Inputs, *, pooled: bool = False) -> npt.NDArray[np.float32]:
        found = super().outputs(inputs, pooled=pooled)
        if not self.reading.both_strands:
            return found
        other = super().outputs([reverse_complement(clean(text)) for text in inputs], pooled=pooled)
        return 0.5 * (found + other)

    def epochs(self, steps: int) -> int:
        wanted = EPOCH_STEPS.get(self.reading.kind)
        return super().epochs(steps) if wanted is None else epochs_for(wanted, steps, fewest=10)

    def targets(self, labels: Sequence[Any]) -> npt.NDArray[Any]:
        """Class numbers (N,), or 0 and 1 (N, C) where there may be several. Raises DataError for an unknown class."""
        for label in labels:
            for name in label if self.several else (label,):
                if name not in self._number:
                    known = ", ".join(map(str, self.classes[:12]))
                    raise DataError(f"the label {name!r} was not in the training data; the model knows {known}")
        if not self.several:
            return np.array([self._number[label] for label in labels], dtype=np.int64)
        marks = np.zeros((len(labels), len(self.classes)), dtype=np.float32)
        for row, label in enumerate(labels):
            marks[row, [self._number[name] for name in label]] = 1
        return marks

    def class_weights(self, choice: str | Mapping[Any, float], labels: Sequence[Any]) -> Tensor | None:
        """Weights (C,) of the classes in the loss: none, N / (C n_c) for "balanced", or given by class."""
        if choice == "none":
            return None
        if isinstance(choice, Mapping):
            return torch.tensor([float(choice.get(name, 1.0)) for name in self.classes])
        if choice != "balanced":
            raise ArgumentError(
                f"class_weights is {choice!r}, it must be none, balanced or a mapping from class to weight"
            )
        targets = self.targets(labels)
        counts = targets.sum(0) if self.several else np.bincount(targets, minlength=len(self.classes))
        return torch.from_numpy((len(labels) / (len(self.classes) * np.maximum(counts, 1))).astype(np.float32))

    def source(self, examples: Examples, options: ClassifyOptions, seed: int) -> BatchSource:
        options = options.for_kind(self.reading.kind, len(examples))
        self.weights = self.class_weights(options.class_weights, examples.targets)
        if self.reading.both_strands:
            others = [reverse_complement(clean(text)) for text in examples.inputs]
            examples = Examples([*examples.inputs, *others], [*examples.targets, *examples.targets])
        change = self._change(options.augment)
        return self.batches(examples, self.targets(examples.targets), options, seed, change)

    def _change(self, strength: float) -> Change | None:
        """How a row of numbers is changed while training; None where it is not."""
        if not strength or self.vocabulary is not None:
            return None
        if self.reading.kind == "sound":
            return lambda row, rng: augment_voiced(row, self.reading.bands, rng, strength)
        values = 0 if self.scaler is None else len(self.scaler.mean)
        return lambda row, rng: augment_series(row, rng, strength, values)

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        logits = self.module(batch.inputs.to(self.device), batch.lengths.to(self.device))
        weights = None if self.weights is None else self.weights.to(self.device)
        return LossOutput(self._cost(logits, batch.targets.to(self.device), weights), len(logits))

    def _cost(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        if self.several:
            return functional.binary_cross_entropy_with_logits(logits, targets, weight=weights)
        return functional.cross_entropy(logits, targets, weight=weights)

    def measure(self, examples: Examples) -> dict[str, float]:
        logits, targets = torch.from_numpy(self.outputs(examples.inputs)), self.targets(examples.targets)
        answers = self.decide(logits.numpy())
        return {
            "loss": float(self._cost(logits, torch.from_numpy(targets))),
            "accuracy": accuracy(targets, answers),
            "macro_f1": macro_f1(targets, answers),
        }

    def evaluate(self, path: Path) -> dict[str, Any]:
        """Metrics on a file and, for one label a row, the confusion matrix: a row a true class, a column an answer."""
        examples = self.read_part(path)
        found: dict[str, Any] = {**self.measure(examples), "classes": self.classes}
        if not self.several:
            answers = self.decide(self.outputs(examples.inputs))
            matrix = confusion_matrix(self.targets(examples.targets), answers, len(self.classes))
            found["confusion_matrix"] = matrix.tolist()
        return found

    def decide(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """The likeliest class (N,), or 0 and 1 (N, C): every label likelier than not."""
        return decided(logits, several=self.several)

    def probabilities(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """p(class | sequence), (N, C); rows sum to 1 unless there may be several labels."""
        logits = torch.from_numpy(self.outputs(inputs)).double()
        found: npt.NDArray[np.float64] = (logits.sigmoid() if self.several else logits.softmax(1)).numpy()
        return found

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        from unrolled.tasks.streams.sequences import classify_stream

        return classify_stream(self, choices)

    def predict(self, inputs: Inputs) -> list[Any]:
        """The label of each sequence, or the tuple of its labels."""
        return named(self.decide(self.outputs(inputs)), self.classes, several=self.several)


# Steps of training where nobody says otherwise; None: as for all sequences.
EPOCH_STEPS = {"sound": 1500, "series": 600, "dna": 800}


def _layout(examples: Examples, options: ClassifyOptions) -> Reading:
    """How the file was read; of examples in memory, what they are."""
    if isinstance(examples.layout, Reading):
        return examples.layout
    if not isinstance(examples.inputs[0], str):
        return Reading("series", None)
    dna = options.read_as == "dna"
    return Reading(
        "dna" if dna else "text", options.text, options.label, options.separator,
        kmer=options.kmer, both_strands=dna and options.both_strands,
    )  # fmt: skip


def _remark(reading: Reading, inputs: Inputs) -> tuple[str, ...]:
    """What the file was taken for, where that is not text, and how long its sequences are."""
    if isinstance(inputs, LargeRows):
        return ()
    lengths = sorted({len(row) for row in inputs})
    if reading.kind == "sound":
        long = _span(*(f"{max(0, steps - 1) * reading.hop:.1f}" for steps in (lengths[0], lengths[-1])))
        features = f"{reading.bands} mel bands{' and pitch' if reading.pitch else ''} each {1000 * reading.hop:g} ms"
        features += ", levels as they are, so that it can stream" if reading.steady and not reading.centre else ""
        return (f"read as sound of {long} s at {reading.rate:,} Hz, {features}",)
    long = _span(*(f"{steps:,}" for steps in (lengths[0], lengths[-1])))
    if reading.kind == "dna":
        read = "bases" if reading.kmer == 1 else f"bases as {reading.kmer}-mers"
        return (f"read as DNA of {long} {read}{', both strands' if reading.both_strands else ''}",)
    if reading.kind == "series":
        what = f"; the rows with one {reading.sequence} are one" if reading.sequence else ""
        width = inputs[0].shape[1]
        return (f"read as series of {long} steps of {width} number{'s' if width > 1 else ''}{what}",)
    return ()


def _span(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"
