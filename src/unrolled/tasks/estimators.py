"""Classifier, Regressor and LanguageModel by scikit-learn's conventions; scikit-learn itself is not needed to run them.

Each is the options of its task as constructor parameters. `fit` trains as `unrolled train` does, `save` writes the same
run folder, `load` reads either.
"""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
from safetensors.torch import load as load_bytes

from unrolled.data import vocabulary_from_json
from unrolled.errors import ArgumentError
from unrolled.tasks.arrays import as_labels, as_sequences, as_targets, columns_of
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.curve import History, read_metrics
from unrolled.tasks.language import LanguageTask, Score, hold_out
from unrolled.tasks.model import Parts, TaskModel
from unrolled.tasks.options import ClassifyOptions, Common, LanguageOptions, NetworkOptions, RegressOptions, option
from unrolled.tasks.registry import TASKS
from unrolled.tasks.regress import RegressTask
from unrolled.tasks.run import Config, assemble, open_run, options_of, read_config, weight_bytes
from unrolled.tasks.sequences import Examples, SequenceTask, part_off
from unrolled.tasks.training import save_run, train_in_memory
from unrolled.train import accuracy

if TYPE_CHECKING:
    from sklearn.utils import Tags

# Fewer rows than this say too little about which weights are the best.
_FEWEST_HELD_OUT = 10


@dataclass(kw_only=True, repr=False, eq=False)
class Estimator:
    """What the three have in common: parameters, fitting, saving. `model_` is the trained model."""

    seed: int = option(0, "seed of the starting weights, the order of the data and dropout")
    epochs: int | None = option(None, "passes over the training part; default: the task's own number")
    max_time: float | None = option(None, "time limit in seconds, validation included")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    threads: int | None = option(None, "processor threads; default: what torch chooses")
    from_run: str | Path | None = option(None, "start from another run's weights")

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


class _OnSequences(Estimator):
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

    def _fit_examples(self, X: Any, sequences: list[Any], targets: list[Any], labels: list[Any] | None) -> None:
        """Hold a part out, but not from data that are too few, and train."""
        options: Any = self
        examples = Examples(sequences, targets)
        if round(options.validation * len(examples)) < _FEWEST_HELD_OUT:
            self._fit(Parts(examples, how="none"))
        else:
            self._fit(part_off(examples, options, Common(seed=self.seed), labels))
        self.columns_ = columns_of(X)
        if self.columns_ is not None:
            self.n_features_in_ = self.columns_

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        super()._take(model, config, rows)
        self.columns_ = None
        self.n_features_in_ = 1 if model.plan.vocabulary is not None else model.plan.inputs


@dataclass(kw_only=True, repr=False, eq=False)
class Classifier(_OnSequences, ClassifyOptions):
    """Label sequences: p(y | x_1 ... x_T) = softmax(V pool(h_1 ... h_T) + b).

    `fit(X, y)`: X are n texts, or numbers (n, T, F), or (n, T) as T steps of one number, or n arrays of unlike lengths
    (T_i, F). y are n labels, n lists of labels, or an indicator matrix. `cell` is a name or a Cell.

    >>> model = Classifier(cell="gru").fit(texts, labels)  # doctest: +SKIP
    """

    cell: Any = option("gru", "a cell's name or a Cell")
    text: str = field(default="text", init=False)
    label: str = field(default="label", init=False)
    separator: str | None = field(default=None, init=False)

    task: ClassVar[str] = "classify"
    kind: ClassVar[str | None] = "classifier"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on sequences and their labels; raises ArgumentError (a ValueError) where they cannot be used."""
        sequences = as_sequences(X)
        labels = as_labels(y, len(sequences))
        several = isinstance(labels[0], tuple)
        self._fit_examples(X, sequences, labels, None if several else labels)
        self.indicator_ = several and not isinstance(y, list)
        return self

    def _take(self, model: TaskModel[Any], config: Config, rows: list[dict[str, Any]]) -> None:
        super()._take(model, config, rows)
        self.classes_ = np.array(cast(ClassifyTask, model).classes)
        self.indicator_ = False

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


@dataclass(kw_only=True, repr=False, eq=False)
class Regressor(_OnSequences, RegressOptions):
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


@dataclass(kw_only=True, repr=False, eq=False)
class LanguageModel(Estimator, LanguageOptions):
    """Foretell text unit by unit: p(x_1 ... x_n) = prod_t p(x_t | x_1 ... x_{t-1}).

    `fit(X)`: one text, or texts that each have an end of their own. `cell` is a name or a Cell.
    """

    cell: Any = option("lstm", "a cell's name or a Cell")
    text: str = field(default="text", init=False)

    task: ClassVar[str] = "language"

    def fit(self, X: Any, y: None = None) -> Self:
        """Train on texts; the last `validation` share of the characters is held out."""
        texts = as_texts(X)
        train, valid = hold_out(texts, self.validation)
        return self._fit(Parts(train, valid, how=f"the last {self.validation:.0%} of the text" if valid else "none"))

    def generate(self, prompt: str = "", length: int = 500, **sampling: Any) -> str:
        """The text that goes on from `prompt`; `temperature`, `top_k`, `top_p` and `seed` as in `stream`."""
        return "".join(self.stream(prompt, length, **sampling))

    def stream(self, prompt: str = "", length: int = 500, **sampling: Any) -> Iterator[str]:
        """The same piece by piece; see `tasks.language.LanguageTask.generate`."""
        model: LanguageTask = self._fitted
        return model.generate(prompt, length, **sampling)

    def complete(self, prompt: str, count: int = 10) -> list[tuple[str, float]]:
        """The likeliest next words with their probabilities."""
        model: LanguageTask = self._fitted
        return model.complete(prompt, count)

    def score_texts(self, X: Any) -> list[Score]:
        """The cost of each text: nats, units, characters, and `.metrics()`."""
        model: LanguageTask = self._fitted
        return model.score(as_texts(X))

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """The log-likelihood of each text in nats (n,)."""
        return np.array([-score.nats for score in self.score_texts(X)])

    def score(self, X: Any, y: None = None) -> float:
        """Mean log-likelihood in nats a unit: the higher, the better."""
        scores = self.score_texts(X)
        return -sum(score.nats for score in scores) / sum(score.units for score in scores)


def as_texts(X: Any) -> list[str]:
    """One text or several as a list; raises ArgumentError."""
    sequences = as_sequences([X] if isinstance(X, str) else X)
    if not isinstance(sequences[0], str):
        raise ArgumentError("X holds numbers, a language model reads texts; give a text or a list of texts")
    return [str(text) for text in sequences]


def load(run: str | Path) -> Classifier | Regressor | LanguageModel:
    """The fitted estimator of a run folder, however it was made; executes nothing from it. Raises RunError."""
    run = Path(run)
    model = open_run(run)
    config = read_config(run)
    kinds: dict[str, type[Classifier | Regressor | LanguageModel]] = {
        kind.task: kind for kind in (Classifier, Regressor, LanguageModel)
    }
    kind = kinds[config.task]
    options = options_of(TASKS[config.task].options, config.options, str(run))
    common = options_of(Common, config.common, str(run))
    names = kind._parameter_names()
    estimator = kind(**{n: getattr(options if hasattr(options, n) else common, n) for n in names})
    estimator._take(model, config, read_metrics(run))
    return estimator


def _shared(estimator: Estimator, kind: type[Any]) -> dict[str, Any]:
    """The estimator's values for the fields of an options class."""
    own = {f.name for f in fields(estimator) if f.init}
    return {f.name: getattr(estimator, f.name) for f in fields(kind) if f.name in own}
