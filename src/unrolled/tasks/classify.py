"""Classification: one label, or any number of labels, for a whole sequence (many to one)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.data import Scaler, Vocabulary, check_labels, read_labelled
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks.model import Parts, TaskModel, entry
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.options import ClassifyOptions, Common
from unrolled.tasks.sequences import Batch, Examples, Inputs, SequenceTask, group_column, make, part_off
from unrolled.train import BatchSource, Carry, LossOutput, accuracy, confusion_matrix, macro_f1

Class = str | int | float | bool


class ClassifyTask(SequenceTask):
    """p(y | x_1 ... x_T) = softmax(V pool(h_1 ... h_T) + b); with several labels a row, sigmoid for each label.

    `classes` are sorted; a target is one of them, or a tuple of any number of them where `several`.
    """

    task: ClassVar[str] = "classify"
    metric: ClassVar[str] = "accuracy"
    overfits: ClassVar[bool] = True

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: Vocabulary | None,
        scaler: Scaler | None,
        *,
        classes: Sequence[Class],
        several: bool,
        columns: tuple[str, str, str | None],
    ) -> None:
        super().__init__(plan, vocabulary, scaler)
        self.classes = list(classes)
        self.several = several
        self.columns = columns
        self.weights: Tensor | None = None
        self._number = {name: place for place, name in enumerate(self.classes)}

    @classmethod
    def read(cls, path: Path, options: ClassifyOptions, common: Common) -> Parts[Examples]:
        columns = (options.text, options.label, options.separator)
        data = read_labelled(path, options.text, options.label, multilabel=options.separator, skip_bad=common.skip_bad)
        check_labels(data)
        groups = group_column(path, common.group, data.rows)
        examples = Examples(data.texts, data.labels, groups)
        test = None if common.test is None else _read(common.test, columns)
        if common.valid is not None:
            return Parts(examples, _read(common.valid, columns), test, str(common.valid))
        parts = part_off(examples, options, common, None if options.separator else data.labels)
        return Parts(parts.train, parts.valid, test, parts.how)

    @classmethod
    def build(cls, parts: Parts[Examples], options: ClassifyOptions, start: TaskModel[Any] | None = None) -> Self:
        labels = parts.train.targets
        several = any(isinstance(label, tuple) for label in labels)
        classes = sorted({name for label in labels for name in (label if several else (label,))})
        made = make(parts.train.inputs, options, len(classes), start)
        columns = (options.text, options.label, options.separator)
        model = cls(made.plan, made.vocabulary, made.scaler, classes=classes, several=several, columns=columns)
        model.use_vectors(made.vectors)
        model.notes = made.notes
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        classes = entry(schema, "classes", list)
        if not all(isinstance(name, str | int | float) for name in classes) or len(classes) != plan.outputs:
            raise RunError("the data's schema does not name a class for each output")
        columns = (entry(schema, "text", str), entry(schema, "label", str), entry(schema, "separator", str, type(None)))
        scaler = cls.input_of(plan, schema)
        return cls(plan, vocabulary, scaler, classes=classes, several=entry(schema, "several", bool), columns=columns)

    def schema(self) -> dict[str, Any]:
        text, label, separator = self.columns
        return {
            "classes": self.classes,
            "several": self.several,
            "text": text,
            "label": label,
            "separator": separator,
            **self.input_schema(),
        }

    def read_part(self, path: Path) -> Examples:
        return _read(path, self.columns)

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
        self.weights = self.class_weights(options.class_weights, examples.targets)
        return self.batches(examples, self.targets(examples.targets), options, seed)

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
        decided = self.decide(logits.numpy())
        return {
            "loss": float(self._cost(logits, torch.from_numpy(targets))),
            "accuracy": accuracy(targets, decided),
            "macro_f1": macro_f1(targets, decided),
        }

    def evaluate(self, path: Path) -> dict[str, Any]:
        """Metrics on a file and, for one label a row, the confusion matrix: a row a true class, a column an answer."""
        examples = self.read_part(path)
        found: dict[str, Any] = {**self.measure(examples), "classes": self.classes}
        if not self.several:
            decided = self.decide(self.outputs(examples.inputs))
            matrix = confusion_matrix(self.targets(examples.targets), decided, len(self.classes))
            found["confusion_matrix"] = matrix.tolist()
        return found

    def decide(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """The likeliest class (N,), or 0 and 1 (N, C): every label likelier than not."""
        return (logits > 0).astype(np.float32) if self.several else logits.argmax(1)

    def probabilities(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """p(class | sequence), (N, C); rows sum to 1 unless there may be several labels."""
        logits = torch.from_numpy(self.outputs(inputs)).double()
        found: npt.NDArray[np.float64] = (logits.sigmoid() if self.several else logits.softmax(1)).numpy()
        return found

    def predict(self, inputs: Inputs) -> list[Any]:
        """The label of each sequence, or the tuple of its labels."""
        decided = self.decide(self.outputs(inputs))
        if self.several:
            return [tuple(name for name, mark in zip(self.classes, row, strict=True) if mark) for row in decided]
        return [self.classes[number] for number in decided]


def _read(path: Path, columns: tuple[str, str, str | None]) -> Examples:
    data = read_labelled(path, columns[0], columns[1], multilabel=columns[2])
    return Examples(data.texts, data.labels)
