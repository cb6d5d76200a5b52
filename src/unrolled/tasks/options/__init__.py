"""The options of every task as dataclasses: a default, a type and a help text each; no torch here.

`Common` says which run is made and means the same for every task. `NetworkOptions` says which network is trained and
how; each task adds its own fields and its own defaults. The command line and the estimators are both made from these.
"""

from __future__ import annotations

from unrolled.tasks.options.caption import CaptionOptions
from unrolled.tasks.options.classify import ClassifyOptions
from unrolled.tasks.options.forecast import ForecastOptions
from unrolled.tasks.options.language import SOFTMAX, LanguageOptions
from unrolled.tasks.options.regress import RegressOptions
from unrolled.tasks.options.shared import (
    RESUMABLE,
    UNITS,
    Common,
    NetworkOptions,
    SequenceOptions,
    TextOptions,
    changed,
    check_counts,
    option,
)
from unrolled.tasks.options.tag import TagOptions
from unrolled.tasks.options.transcribe import TranscribeOptions
from unrolled.tasks.options.translate import TranslateOptions

__all__ = [
    "RESUMABLE",
    "SOFTMAX",
    "UNITS",
    "CaptionOptions",
    "ClassifyOptions",
    "Common",
    "ForecastOptions",
    "LanguageOptions",
    "NetworkOptions",
    "RegressOptions",
    "SequenceOptions",
    "TagOptions",
    "TextOptions",
    "TranscribeOptions",
    "TranslateOptions",
    "changed",
    "check_counts",
    "option",
]
