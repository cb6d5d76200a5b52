"""Small networks with chance weights, and sequences for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unrolled.data.arrays import Numbers
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.signals import Signal, Sound, Strokes
from unrolled.tasks import TASKS, ForecastOptions
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.clips import Clips
from unrolled.tasks.estimators.forecaster import _histories
from unrolled.tasks.forecast import ForecastTask
from unrolled.tasks.forecast_parts import parts_of
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.options import ClassifyOptions
from unrolled.tasks.reading import Reading
from unrolled.tasks.regress import RegressTask
from unrolled.tasks.sequences import Examples
from unrolled.tasks.tag import TagTask
from unrolled.tasks.tag_parts import Layout, TagExamples
from unrolled.tasks.transcribe import TranscribeTask, settle

WORDS = ["red", "green's", "blue,", "grey", "3.5", "Red"]
RNG = np.random.default_rng(7)
TEXTS = [" ".join(RNG.choice(WORDS, 9)) + "\n" for _ in range(8)]
ROWS = [RNG.normal(size=(length, 2)).astype(np.float32) for length in (11, 5, 8, 30)]


def language(**options: Any) -> LanguageTask:
    torch.manual_seed(2)
    settings = TASKS["language"].options(**{"hidden": 8, "embedding": 6, "units": "char", **options})
    return LanguageTask.build(Parts(TEXTS), settings)


def classifier(inputs: Any = TEXTS, **options: Any) -> ClassifyTask:
    torch.manual_seed(3)
    examples = Examples(inputs, [("b", "a", "c")[place % 3] for place in range(len(inputs))])
    settings = {"hidden": 6, "embedding": 5, "bidirectional": False, "units": "char", **options}
    return stirred(ClassifyTask.build(Parts(examples), TASKS["classify"].options(**settings)))


RATE = 8000
SOUNDS = [(0.1 * RNG.normal(size=size)).astype(np.float32) for size in (3000, 1234, 90, 5000)]


def hearer(**options: Any) -> tuple[ClassifyTask, Reading]:
    """A classifier of sounds, and how it reads them."""
    settings = ClassifyOptions(bidirectional=False, bands=6, rate=RATE, hidden=6, kernel=3, **options)
    reading = Reading.of_sounds([], settings)
    torch.manual_seed(11)
    examples = Examples([reading.heard(one) for one in SOUNDS], list("abca"), None, reading)
    return stirred(ClassifyTask.build(Parts(examples), settings)), reading


def regressor(inputs: Any = ROWS, **options: Any) -> RegressTask:
    torch.manual_seed(4)
    examples = Examples(inputs, [(float(place), -100.0 * place**2) for place in range(len(inputs))])
    settings = {"hidden": 6, "units": "word", "target": ("x", "y"), **options}
    return stirred(RegressTask.build(Parts(examples), TASKS["regress"].options(**settings)))


def stirred(model: Any) -> Any:
    """With answers that differ, and averages that convolutions have learnt."""
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter += 0.5 * torch.randn_like(parameter) * (parameter.dim() > 1)
        for name, buffer in model.module.named_buffers():
            if "running" in name:
                buffer.copy_(1 + torch.rand_like(buffer))
    model.module.eval()
    return model


_TAG = np.random.default_rng(21)
SENTENCES = [tuple(_TAG.choice(["The", "dog", "Barks", ".", "3.5", "é"], 7)) for _ in range(9)]
STEPS = [(100 + 5 * _TAG.normal(size=(length, 3))).astype(np.float32) for length in (12, 7, 9)]
FILMS = [_TAG.integers(0, 256, size=(length, 8, 8, 3)).astype(np.uint8) for length in (5, 4)]


def tagger(inputs: Any, kind: str, **options: Any) -> TagTask:
    layout = Layout(kind, "label", features=("a", "b", "c") if kind == "numbers" else (), rate=5.0, size=8)
    labels = [["xyz"[place % 3] for place in range(len(row))] for row in inputs]
    settings = {"hidden": 8, "embedding": 6, "characters": 4, "minimum": 1, "causal": True, **options}
    torch.manual_seed(6)
    examples = TagExamples([tuple(map(str, row)) for row in inputs] if kind == "words" else inputs, labels, layout)
    model = TagTask.build(Parts(examples), TASKS["tag"].options(**settings))
    model.module.eval()
    return model


_SAY = np.random.default_rng(31)
SAID = ["ab ca", "b ac", "cab", "a b c", "bca", "c"]


def sample(signal: Signal, length: int) -> Numbers:
    """What arrives: samples, points, or steps."""
    if isinstance(signal, Sound):
        return (0.1 * _SAY.normal(size=length * 80)).astype(np.float32)
    if isinstance(signal, Strokes):
        begins = _SAY.random(length) < 0.2
        begins[0] = True
        return np.column_stack([_SAY.normal(size=(length, 2)).cumsum(0), begins]).astype(np.float32)
    return _SAY.normal(size=(length, signal.width)).astype(np.float32)


def transcriber(signal: Signal, **options: Any) -> TranscribeTask:
    kept = [sample(signal, 40 + 3 * place) for place in range(len(SAID))]
    kept = [signal.mel(one) if isinstance(signal, Sound) else one for one in kept]
    origins = [Origin(None, place) for place in range(len(SAID))]  # type: ignore[arg-type]  # no file
    settings = TASKS["transcribe"].options(
        **{"hidden": 8, "layers": 2, "causal": True, "dropout": 0.0, "augment": 0.0, **options}
    )
    torch.manual_seed(8)
    clips = settle([Clips(kept, SAID, origins=origins, signal=signal)], settings, None, Problems())[0]
    model = TranscribeTask.build(Parts(clips), settings)
    with torch.no_grad():
        model.module.output.bias[model.blank] -= 1.5  # so that there is something to read
    return stirred(model)  # type: ignore[no-any-return]


CHANCE = np.random.default_rng(17)
T = 60
SERIES = 1e5 + 10 * np.sin(np.arange(T) / 3)[:, None] * (1, -2) + CHANCE.normal(size=(T, 2))
START = "2024-01-30 22:00"
HOURS = np.datetime64("2024-01-30T22:00:00") + np.arange(T).astype("timedelta64[h]")


def forecaster(y: Any, *, times: Any = None, past: Any = None, known: Any = None, **options: Any) -> ForecastTask:
    settings = ForecastOptions(
        **{"hidden": 8, "embedding": 6, "horizon": 4, "context": 12, "segment": 3, "backtest": 0, **options}
    )
    torch.manual_seed(9)
    model = ForecastTask.build(parts_of(_histories(y, times, past, known), settings), settings)
    return stirred(model)  # type: ignore[no-any-return]
