"""What the estimators have in common: parameters, fitting, saving, scikit-learn's tags."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from safetensors.torch import load as load_bytes

from unrolled.data import vocabulary_from_json
from unrolled.errors import ArgumentError
from unrolled.streams import Stream
from unrolled.tasks.arrays import as_sequences, columns_of
from unrolled.tasks.curve import History
from unrolled.tasks.model import Parts, TaskModel
from unrolled.tasks.options import Common, NetworkOptions, option
from unrolled.tasks.registry import TASKS
from unrolled.tasks.run import Config, assemble, weight_bytes
from unrolled.tasks.sequences import Examples, SequenceTask, part_off
from unrolled.tasks.training import save_run, train_in_memory

if TYPE_CHECKING:
    from sklearn.utils import Tags

# Fewer rows than this say too little about which weights are the best.
FEWEST_HELD_OUT = 10


@dataclass(kw_only=True, repr=False, eq=False)
class Estimator:
    """What the three have in common: parameters, fitting, saving. `model_` is the trained model."""

    seed: int = option(0, "seed of the starting weights, the order of the data and dropout")
    epochs: int | None = option(None, "passes over the training part; default: the task's own number")
    max_time: float | None = option(None, "time limit in seconds, validation included")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    threads: int | None = option(None, "processor threads; default: what torch chooses")
    from_run: str | Path | None = option(None, "start from another run's weights")
    memory: str = option("full", "low: steps are computed twice instead of kept, for long sequences")
    precision: str = option("float32", "type of the products: float32, bfloat16 or float16")

    task: ClassVar[str]
    kind: ClassVar[str | None] = None
    """What scikit-learn calls it."""

    if TYPE_CHECKING:  # set by fit; a dataclass would make parameters of them
        model_: Any
        config_: Config
        history_: list[dict[str, Any]]
        metrics_: dict[str, float]

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(f.name for f in fields(cls) if f.init)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **values: Any) -> Self:
        """Change constructor parameters; raises ArgumentError for a name that is none."""
        names = self._parameter_names()
        for name, value in values.items():
            if name not in names:
                raise ArgumentError(
                    f"Invalid parameter {name!r} for {type(self).__name__}. Valid parameters are: {names}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        said = [
            f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.init and getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(said)})"

    def save(self, run: str | Path) -> None:
        """Write a run folder, as `unrolled train` does; raises RunError where there is something already."""
        save_run(Path(run), self._fitted, self.config_, self.history_)

    def stream(self, state: bytes | None = None, **choices: Any) -> Stream:
        """One sequence read part by part, an answer after each; `state` goes on where another stream was saved.

        Raises ArgumentError for a run that needs the whole input and for a state that is not of this model.
        """
        found: Stream = self._fitted.stream(state, **choices)
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __getstate__(self) -> dict[str, Any]:
        """Parameters, JSON and bytes alone, so that a pickled estimator outlives changes in the networks' code."""
        state = dict(vars(self))
        if "model_" in state:
            model: Any = state.pop("model_")
            vocabulary = None if model.vocabulary is None else model.vocabulary.to_json()
            state["saved"] = {"vocabulary": vocabulary, "weights": weight_bytes(model.module)}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.pop("saved", None)
        vars(self).update(state)
        if saved is not None:
            vocabulary = None if saved["vocabulary"] is None else vocabulary_from_json(saved["vocabulary"])
            self.model_ = assemble(self.config_, vocabulary, load_bytes(saved["weights"]), "the pickled model")

    @property
    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            sentence = f"this {type(self).__name__} is not fitted; call fit first"
            if "sklearn" in sys.modules:  # whoever uses scikit-learn expects its exception
                from sklearn.exceptions import NotFittedError

                raise NotFittedError(sentence)
            raise ArgumentError(sentence)
        return self.model_

    def _fit(self, parts: Parts[Any]) -> Self:
        task = TASKS[self.task]
        options: NetworkOptions = task.options(**_shared(self, task.options))
        common = Common(**_shared(self, Common))
        history = History()
        result = train_in_memory(task, parts, options, common, (history,))
        self._take(result.model, result.config, history.rows)
        return self

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        self.model_ = model
        self.config_ = config
        self.history_ = rows
        self.metrics_ = config.results.get("valid", {})

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        arrays = self.kind is not None
        return Tags(
            estimator_type=self.kind,
            target_tags=TargetTags(required=arrays, multi_output=self.kind == "regressor"),
            classifier_tags=ClassifierTags() if self.kind == "classifier" else None,
            regressor_tags=RegressorTags() if self.kind == "regressor" else None,
            input_tags=InputTags(two_d_array=arrays, three_d_array=arrays, string=True),
        )


class OnSequences(Estimator):
    """What classifier and regressor share."""

    if TYPE_CHECKING:
        columns_: int | None

    def embed(self, X: Any) -> npt.NDArray[np.float32]:
        """The vector (n, E) that stands for each sequence."""
        found: npt.NDArray[np.float32] = self._fitted.embed(self._sequences(X))
        return found

    def _sequences(self, X: Any) -> list[Any]:
        model: SequenceTask = self._fitted
        sequences = as_sequences(X)
        name = type(self).__name__
        if (model.vocabulary is None) == isinstance(sequences[0], str):
            given, wanted = ("texts", "numbers") if model.vocabulary is None else ("numbers", "texts")
            raise ArgumentError(f"X holds {given}, {name} was fitted to {wanted}; give {wanted}")
        columns = columns_of(X)
        if self.columns_ is not None and columns is not None and columns != self.columns_:
            raise ArgumentError(
                f"X has {columns} features, but {name} is expecting {self.columns_} features as input; "
                "give (n, T, 1) for sequences of another length"
            )
        return sequences

    def _fit_examples(
        self, X: Any, sequences: list[Any], targets: list[Any], labels: list[Any] | None, layout: Any = None
    ) -> None:
        """Hold a part out, but not from data that are too few, and train."""
        examples = Examples(sequences, targets, layout=layout)
        options = self._settled(examples)
        if round(options.validation * len(examples)) < FEWEST_HELD_OUT:
            self._fit(Parts(examples, how="none"))
        else:
            self._fit(part_off(examples, options, Common(seed=self.seed), labels))
        self.columns_ = columns_of(X)
        if self.columns_ is not None:
            self.n_features_in_ = self.columns_

    def _settled(self, examples: Examples) -> Any:
        """The options with those defaults that depend on the data."""
        task = TASKS[self.task]
        return task.model.settle(task.options(**_shared(self, task.options)), Parts(examples))

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        super()._take(model, config, rows)
        self.columns_ = None
        self.n_features_in_ = 1 if model.plan.vocabulary is not None else model.plan.inputs


def _shared(estimator: Estimator, kind: type[Any]) -> dict[str, Any]:
    """The estimator's values for the fields of an options class."""
    own = {f.name for f in fields(estimator) if f.init}
    return {f.name: getattr(estimator, f.name) for f in fields(kind) if f.name in own}
