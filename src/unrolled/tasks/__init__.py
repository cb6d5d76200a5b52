"""One task a file: what it reads, its model, its loss, its metrics, its answers. Heavy parts load when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled.tasks.estimators import load
    from unrolled.tasks.estimators.captioner import Captioner
    from unrolled.tasks.estimators.classifier import Classifier
    from unrolled.tasks.estimators.forecaster import Forecaster
    from unrolled.tasks.estimators.language_model import LanguageModel
    from unrolled.tasks.estimators.regressor import Regressor
    from unrolled.tasks.estimators.tagger import Tagger
    from unrolled.tasks.estimators.transcriber import Transcriber
    from unrolled.tasks.estimators.translator import Translator
    from unrolled.tasks.model import TaskModel
    from unrolled.tasks.options import (
        ClassifyOptions,
        Common,
        ForecastOptions,
        LanguageOptions,
        NetworkOptions,
        RegressOptions,
        TagOptions,
    )
    from unrolled.tasks.options.caption import CaptionOptions
    from unrolled.tasks.options.transcribe import TranscribeOptions
    from unrolled.tasks.options.translate import TranslateOptions
    from unrolled.tasks.registry import TASKS, Task
    from unrolled.tasks.run import open_run
    from unrolled.tasks.training import RunResult

_HOME = {
    "TASKS": "unrolled.tasks.registry",
    "Task": "unrolled.tasks.registry",
    "CaptionOptions": "unrolled.tasks.options",
    "ClassifyOptions": "unrolled.tasks.options",
    "Common": "unrolled.tasks.options",
    "ForecastOptions": "unrolled.tasks.options",
    "LanguageOptions": "unrolled.tasks.options",
    "NetworkOptions": "unrolled.tasks.options",
    "RegressOptions": "unrolled.tasks.options",
    "TagOptions": "unrolled.tasks.options",
    "TranscribeOptions": "unrolled.tasks.options",
    "TranslateOptions": "unrolled.tasks.options",
    "Captioner": "unrolled.tasks.estimators.captioner",
    "Classifier": "unrolled.tasks.estimators.classifier",
    "Forecaster": "unrolled.tasks.estimators.forecaster",
    "LanguageModel": "unrolled.tasks.estimators.language_model",
    "Regressor": "unrolled.tasks.estimators.regressor",
    "Tagger": "unrolled.tasks.estimators.tagger",
    "RunResult": "unrolled.tasks.training",
    "Transcriber": "unrolled.tasks.estimators.transcriber",
    "Translator": "unrolled.tasks.estimators.translator",
    "TaskModel": "unrolled.tasks.model",
    "load": "unrolled.tasks.estimators",
    "open_run": "unrolled.tasks.run",
}

__all__ = [
    "TASKS",
    "CaptionOptions",
    "Captioner",
    "Classifier",
    "ClassifyOptions",
    "Common",
    "ForecastOptions",
    "Forecaster",
    "LanguageModel",
    "LanguageOptions",
    "NetworkOptions",
    "RegressOptions",
    "Regressor",
    "RunResult",
    "TagOptions",
    "Tagger",
    "Task",
    "TaskModel",
    "TranscribeOptions",
    "Transcriber",
    "TranslateOptions",
    "Translator",
    "load",
    "open_run",
]


def __getattr__(name: str) -> object:
    """Load the part that `name` lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'unrolled.tasks' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
