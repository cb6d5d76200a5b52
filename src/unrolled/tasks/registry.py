"""The tasks there are. A row here says what the command line must know; the code loads when the task is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unrolled.tasks.options import ClassifyOptions, Common, LanguageOptions, NetworkOptions, RegressOptions, TagOptions
from unrolled.tasks.options.caption import CaptionOptions
from unrolled.tasks.options.forecast import ForecastOptions
from unrolled.tasks.options.transcribe import TranscribeOptions
from unrolled.tasks.options.translate import TranslateOptions

if TYPE_CHECKING:
    from unrolled.tasks.events import Event
    from unrolled.tasks.model import TaskModel
    from unrolled.tasks.training import RunResult
    from unrolled.train import Observer


@dataclass(frozen=True)
class Task:
    """One task: its name on the command line, a line of help, what one writes behind, its options, its code."""

    name: str
    summary: str
    example: str
    options: type[NetworkOptions]
    home: str
    estimator_home: str

    @property
    def estimator(self) -> type[Any]:
        """The class by scikit-learn's conventions."""
        return _find(self.estimator_home)

    @property
    def model(self) -> type[TaskModel[Any]]:
        """The class that reads, builds, trains and answers for this task."""
        return _find(self.home)

    def train(
        self,
        options: NetworkOptions,
        common: Common,
        observers: Sequence[Observer] = (),
        notify: Callable[[Event], None] | None = None,
        command: str = "",
    ) -> RunResult:
        """Train on `common.data`, write the run folder, measure it.

        `notify` is told what is known before training (`tasks.events`). `command` goes into config.json.
        Raises DataError, ArgumentError, RunError or TrainingError; bad data leaves no folder behind.
        """
        from unrolled.tasks.training import train_run

        return train_run(self, options, common, observers, notify or (lambda event: None), command)


def _find(home: str) -> type[Any]:
    module, _, name = home.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "language",
            "learn a text, unit by unit, to continue, complete and score it",
            "shakespeare.txt --out runs/plays",
            LanguageOptions,
            "unrolled.tasks.language:LanguageTask",
            "unrolled.tasks.estimators.language_model:LanguageModel",
        ),
        Task(
            "classify",
            "learn one label, or several, for each sequence",
            "names.csv --text name --label language",
            ClassifyOptions,
            "unrolled.tasks.classify:ClassifyTask",
            "unrolled.tasks.estimators.classifier:Classifier",
        ),
        Task(
            "regress",
            "learn one number, or several, for each sequence",
            "machines.csv --target hours --sequence machine",
            RegressOptions,
            "unrolled.tasks.regress:RegressTask",
            "unrolled.tasks.estimators.regressor:Regressor",
        ),
        Task(
            "tag",
            "learn a label for every step: words, rows of numbers, frames of a film",
            "sentences.conll --out runs/tagger",
            TagOptions,
            "unrolled.tasks.tag:TagTask",
            "unrolled.tasks.estimators.tagger:Tagger",
        ),
        Task(
            "forecast",
            "learn the next values of one series in time, or of many, with how sure they are",
            "sales.csv --horizon 12",
            ForecastOptions,
            "unrolled.tasks.forecast:ForecastTask",
            "unrolled.tasks.estimators.forecaster:Forecaster",
        ),
        Task(
            "translate",
            "learn to translate texts from pairs of them",
            "pairs.tsv --out runs/spanish",
            TranslateOptions,
            "unrolled.tasks.translate:TranslateTask",
            "unrolled.tasks.estimators.translator:Translator",
        ),
        Task(
            "caption",
            "learn to say in words what is on a picture",
            "pictures.csv --out runs/captions",
            CaptionOptions,
            "unrolled.tasks.caption:CaptionTask",
            "unrolled.tasks.estimators.captioner:Captioner",
        ),
        Task(
            "transcribe",
            "learn the text of sounds, pen strokes or pictures of lines, not told where each letter is (CTC)",
            "clips.csv --out runs/speech",
            TranscribeOptions,
            "unrolled.tasks.transcribe:TranscribeTask",
            "unrolled.tasks.estimators.transcriber:Transcriber",
        ),
    )
}
