"""Regression: one number, or several, for a whole sequence of text or numbers (many to one)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch.nn import functional

from unrolled.data import (
    Scaler,
    Vocabulary,
    is_table,
    read_series,
    read_table,
    read_text_targets,
)
from unrolled.streams.running import Running
from unrolled.tasks.large_rows import groups_of, large_tables, open_rows, with_numbers
from unrolled.tasks.model import Parts, TaskModel
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.options import Common, RegressOptions
from unrolled.tasks.schemas import regress_schema, target_names
from unrolled.tasks.sequence_inputs import Inputs, group_column, regress_inputs
from unrolled.tasks.sequences import Batch, Examples, SequenceTask, make, part_off
from unrolled.train import BatchSource, Carry, LossOutput, mae, mse


class RegressTask(SequenceTask):
    """y = V pool(h_1 ... h_T) + b, trained on targets of mean 0 and deviation 1; errors are in the targets' own unit.

    A target is a tuple of numbers.
    """

    task: ClassVar[str] = "regress"
    metric: ClassVar[str] = "mse"
    large: ClassVar[bool] = True

    def __init__(
        self,
        plan: NetworkPlan,
        vocabulary: Vocabulary | None,
        scaler: Scaler | None,
        *,
        target_scaler: Scaler,
        columns: dict[str, Any],
    ) -> None:
        super().__init__(plan, vocabulary, scaler)
        self.target_scaler = target_scaler
        self.columns = columns

    @property
    def names(self) -> list[str]:
        """The name of each number: its column, or its place where one array of a file holds several."""
        return target_names(self.columns["target"], self.plan.outputs)

    @classmethod
    def read(cls, path: Path, options: RegressOptions, common: Common) -> Parts[Examples]:
        columns = _columns(options)
        if files := large_tables(path, options.text, options, common):
            rows = open_rows(files, str(options.text), options, common, names=(), numbers=tuple(options.target))
            rows, targets, skipped = with_numbers(rows, tuple(options.target), common)
            remarks: tuple[str, ...] = ()
            examples = Examples(rows, targets, groups_of(rows, common))
        else:
            remarks, skipped = _remarks(path, columns), ()
            examples = _read(path, columns, common)
        test = None if common.test is None else _read(common.test, columns)
        if common.valid is not None:
            return Parts(examples, _read(common.valid, columns), test, str(common.valid), remarks, skipped)
        parts = part_off(examples, options, common, None)
        return Parts(parts.train, parts.valid, test, parts.how, remarks, skipped)

    @classmethod
    def build(cls, parts: Parts[Examples], options: RegressOptions, start: TaskModel[Any] | None = None) -> Self:
        scaler = Scaler.fit([np.array(parts.train.targets, dtype=np.float64)])
        made = make(parts.train.inputs, options, len(scaler.mean), start)
        model = cls(made.plan, made.vocabulary, made.scaler, target_scaler=scaler, columns=_columns(options))
        model.use_vectors(made.vectors)
        model.notes = made.notes
        return model

    @classmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        found = regress_schema(plan, schema)
        return cls(plan, vocabulary, found.scaler, target_scaler=found.target_scaler, columns=found.columns)

    def schema(self) -> dict[str, Any]:
        return {"columns": self.columns, "target_scaler": self.target_scaler.to_json(), **self.input_schema()}

    def read_part(self, path: Path) -> Examples:
        return _read(path, self.columns)

    def read_inputs(self, path: Path) -> Inputs:
        """The sequences of a file whose targets, if it has any, are left aside. Raises DataError."""
        return regress_inputs(path, self.columns)

    def source(self, examples: Examples, options: RegressOptions, seed: int) -> BatchSource:
        targets = self.target_scaler.transform(np.array(examples.targets, dtype=np.float64))
        return self.batches(examples, targets, options, seed)

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        answers = self.module(batch.inputs.to(self.device), batch.lengths.to(self.device))
        return LossOutput(functional.mse_loss(answers, batch.targets.to(self.device)), len(answers))

    def measure(self, examples: Examples) -> dict[str, float]:
        truth = np.array(examples.targets, dtype=np.float64)
        answers = self.predict(examples.inputs)
        scaled = mse(self.target_scaler.transform(truth), self.target_scaler.transform(answers))
        return {"loss": scaled, "mse": mse(truth, answers), "mae": mae(truth, answers)}

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        from unrolled.tasks.streams.sequences import regress_stream

        return regress_stream(self, choices)

    def predict(self, inputs: Inputs) -> npt.NDArray[np.float64]:
        """The numbers (N, K) for each sequence."""
        answers: npt.NDArray[np.float64] = (
            self.outputs(inputs).astype(np.float64) * self.target_scaler.scale + self.target_scaler.mean
        )
        return answers


def _columns(options: RegressOptions) -> dict[str, Any]:
    return {
        "target": list(options.target),
        "text": options.text,
        "sequence": options.sequence,
        "inputs": options.inputs,
    }


def _remarks(path: Path, columns: dict[str, Any]) -> tuple[str, ...]:
    """A table of numbers without a column for the sequence is read a row a sequence, which may not be meant."""
    if not is_table(path) or any(columns[name] is not None for name in ("text", "sequence", "inputs")):
        return ()
    steps = [name for name in read_table(path).columns if name not in columns["target"]]
    shown = ", ".join(steps if len(steps) <= 6 else [*steps[:3], "...", steps[-1]])
    return (f"each row is one sequence of {len(steps)} steps ({shown}); give --sequence COLUMN if rows are steps",)


def _read(path: Path, columns: dict[str, Any], common: Common | None = None) -> Examples:
    """Inputs and targets of a file; with `common` also its groups, and bad rows as it says."""
    skip_bad = common is not None and common.skip_bad
    targets = tuple(columns["target"])
    data: Any
    if columns["text"] is not None:
        data = read_text_targets(path, columns["text"], targets, skip_bad=skip_bad)
        inputs = data.texts
    else:
        data = read_series(path, targets, group=columns["sequence"], inputs=columns["inputs"], skip_bad=skip_bad)
        inputs = data.sequences
    rows = [origin.row for origin in data.origins]
    groups = None if common is None else group_column(path, common.group, rows)
    return Examples(inputs, [tuple(map(float, row)) for row in data.targets], groups)
