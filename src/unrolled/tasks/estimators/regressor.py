"""`Regressor`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from unrolled.tasks.arrays import as_sequences, as_targets
from unrolled.tasks.estimators.base import OnSequences
from unrolled.tasks.model import TaskModel
from unrolled.tasks.options import RegressOptions, option
from unrolled.tasks.regress import RegressTask
from unrolled.tasks.run import Config


@dataclass(kw_only=True, repr=False, eq=False)
class Regressor(OnSequences, RegressOptions):
    """Foretell numbers for sequences: y = V pool(h_1 ... h_T) + b, trained on the mean squared error.

    `fit(X, y)`: X as for `Classifier`, y (n,) or (n, K). `cell` is a name or a Cell.
    """

    cell: Any = option("lstm", "a cell's name or a Cell")
    target: tuple[str, ...] = field(default=("target",), init=False)
    text: str | None = field(default=None, init=False)
    sequence: str | None = field(default=None, init=False)
    inputs: str | None = field(default=None, init=False)

    task: ClassVar[str] = "regress"
    kind: ClassVar[str | None] = "regressor"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sequences and their numbers; raises ArgumentError (a ValueError) where they cannot be used."""
        sequences = as_sequences(X)
        targets = as_targets(y, len(sequences))
        self._fit_examples(X, sequences, [tuple(row) for row in targets.tolist()], None)
        return self

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        super()._take(model, config, rows)
        self.flat_ = model.plan.outputs == 1

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """The number of each sequence (n,), or the numbers (n, K)."""
        model: RegressTask = self._fitted
        answers = model.predict(self._sequences(X))
        return answers[:, 0] if self.flat_ else answers

    def score(self, X: Any, y: Any) -> float:
        """R^2 = 1 - sum (y - f)^2 / sum (y - mean y)^2, the mean of it over the K numbers."""
        sequences = self._sequences(X)
        truth = as_targets(y, len(sequences))
        answers = np.asarray(self.predict(X)).reshape(truth.shape)
        residual, total = ((truth - answers) ** 2).sum(0), ((truth - truth.mean(0)) ** 2).sum(0)
        return float(np.mean(1 - residual / np.where(total == 0, 1, total)))
