"""What config.json says of a task's data, checked: what the models of torch and those of the runtime are made from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from unrolled.data import Scaler, Vocabulary, WordVocabulary
from unrolled.data.pairs import PairColumns
from unrolled.data.signals import Signal, signal_from_json
from unrolled.data.vocabulary import PairVocabulary
from unrolled.decode import BeamSearch
from unrolled.errors import DataError, RunError
from unrolled.models.shapes import ForecastShape
from unrolled.tasks.caption_text import BORDER as CAPTION
from unrolled.tasks.caption_text import Sight, reader_from_json, sight_from_json
from unrolled.tasks.film_input import FilmInput
from unrolled.tasks.forecast_reading import Reading as Histories
from unrolled.tasks.language_text import BORDER
from unrolled.tasks.model import entry
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.pictures import PictureReader
from unrolled.tasks.reading import Reading
from unrolled.tasks.step_inputs import NumberInput, StepInput, WordInput
from unrolled.tasks.tag_parts import Label, Layout
from unrolled.tasks.translation import BORDER as SENTENCE
from unrolled.tasks.translation import search_of

MOST_JOINED = 64
_REGRESS_COLUMNS = {"target", "text", "sequence", "inputs"}


@dataclass(frozen=True)
class LanguageSchema:
    """See `LanguageText`; `column` and `sequence` say where a table has its texts."""

    ends: bool
    lines: bool
    column: str
    sequence: str | None


def language_schema(
    plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None
) -> tuple[Vocabulary, LanguageSchema]:
    """The vocabulary, which there must be, and the rest; RunError where something is missing or does not fit."""
    if vocabulary is None or BORDER not in vocabulary.specials:
        raise RunError(f"the vocabulary lacks the unit {BORDER}")
    if plan.vocabulary != len(vocabulary):
        raise RunError(f"the vocabulary has {len(vocabulary)} units, but the network reads {plan.vocabulary}")
    ends = entry(schema, "ends", bool)
    # Older runs lack two entries.
    schema = {"sequence": None, "lines": not ends, **schema}
    return vocabulary, LanguageSchema(
        ends, entry(schema, "lines", bool), entry(schema, "text", str), entry(schema, "sequence", str, type(None))
    )


@dataclass(frozen=True)
class ClassifySchema:
    """See `ClassifyTask`."""

    classes: list[Any]
    several: bool
    reading: Reading
    marks: bool
    scaler: Scaler | None


def classify_schema(plan: NetworkPlan, schema: dict[str, Any]) -> ClassifySchema:
    """RunError where something is missing or does not fit."""
    classes = _class_names(plan, schema, "a class")
    reading, marks = Reading.from_json(schema.get("reading")), entry(schema, "marks", bool)
    scaler = input_scaler(replace(plan, inputs=plan.inputs // 2) if marks else plan, schema)
    return ClassifySchema(classes, entry(schema, "several", bool), reading, marks, scaler)


@dataclass(frozen=True)
class RegressSchema:
    """See `RegressTask`."""

    target_scaler: Scaler
    columns: dict[str, Any]
    scaler: Scaler | None


def regress_schema(plan: NetworkPlan, schema: dict[str, Any]) -> RegressSchema:
    """RunError where something is missing or does not fit."""
    target_scaler = _scaler(entry(schema, "target_scaler", dict))
    columns = entry(schema, "columns", dict)
    if len(target_scaler.mean) != plan.outputs or set(columns) != _REGRESS_COLUMNS:
        raise RunError("the data's schema does not fit the network's outputs")
    names = columns["target"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RunError("the data's schema does not name the columns of the numbers")
    return RegressSchema(target_scaler, columns, input_scaler(plan, schema))


def target_names(columns: list[str], count: int) -> list[str]:
    """The name of each number: its column, or its place where one array of a file holds several."""
    return columns if len(columns) == count else [f"{columns[0]} {place}" for place in range(1, count + 1)]


def input_scaler(plan: NetworkPlan, schema: dict[str, Any]) -> Scaler | None:
    """The scaler of a run of numbers, None for text; raises RunError."""
    data = entry(schema, "scaler", dict, type(None))
    if (data is None) != (plan.vocabulary is not None) or plan.pooling is None:
        raise RunError("the data's schema does not say whether the input is text or numbers")
    if data is None:
        return None
    scaler = _scaler(data)
    if len(scaler.mean) != plan.inputs:
        raise RunError(f"the scaler has {len(scaler.mean)} features, the network {plan.inputs}")
    return scaler


@dataclass(frozen=True)
class TranscribeSchema:
    """See `TranscribeTask`; `columns` are those of the text and of the inputs."""

    signal: Signal
    scaler: Scaler
    reductions: list[int]
    columns: tuple[str, str | None]


def transcribe_schema(
    plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None
) -> tuple[Vocabulary, TranscribeSchema]:
    """The vocabulary, which there must be, and the rest; RunError where something is missing or does not fit."""
    reductions = entry(schema, "reductions", list)
    if not all(type(factor) is int and 1 <= factor <= MOST_JOINED for factor in reductions):
        raise RunError("the data's schema has no usable 'reductions'")
    try:
        signal = signal_from_json(entry(schema, "signal", dict))
    except DataError as error:
        raise RunError(str(error)) from None
    scaler = _scaler(entry(schema, "scaler", dict))
    if vocabulary is None or len(vocabulary) != plan.outputs or len(reductions) not in (1, plan.layers):
        raise RunError("the vocabulary or the reductions do not fit the network")
    if not signal.width == len(scaler.mean) == plan.inputs:
        raise RunError(f"the signal has {signal.width} features a step, the network reads {plan.inputs}")
    columns = (entry(schema, "text", str), entry(schema, "inputs", str, type(None)))
    return vocabulary, TranscribeSchema(signal, scaler, reductions, columns)


def _scaler(data: dict[str, Any]) -> Scaler:
    try:
        return Scaler.from_json(data)
    except DataError as error:
        raise RunError(str(error)) from None


@dataclass(frozen=True)
class TagSchema:
    """See `TagTask`; `reader` makes a batch of sequences."""

    classes: list[Label]
    reader: StepInput
    layout: Layout
    crf: bool


def tag_schema(plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> TagSchema:
    """RunError where something is missing or does not fit."""
    classes = _class_names(plan, schema, "a label")
    layout = Layout.from_json(entry(schema, "layout", dict))
    reader = input_from_json(layout.kind, entry(schema, "input", dict), vocabulary)
    return TagSchema(classes, reader, layout, entry(schema, "crf", bool))


def _class_names(plan: NetworkPlan, schema: dict[str, Any], what: str) -> list[Any]:
    classes: list[Any] = entry(schema, "classes", list)
    if not all(isinstance(name, str | int | float) for name in classes) or len(classes) != plan.outputs:
        raise RunError(f"the data's schema does not name {what} for each output")
    return classes


def input_from_json(kind: str, data: dict[str, Any], vocabulary: Vocabulary | None) -> StepInput:
    """The input of a run; raises RunError."""
    if kind == "words" and isinstance(vocabulary, WordVocabulary):
        return WordInput.from_json(data, vocabulary)
    if kind == "numbers" and vocabulary is None:
        return NumberInput.from_json(data)
    if kind == "frames" and vocabulary is None:
        return FilmInput.from_json(data)
    raise RunError(f"the data's schema does not describe steps of kind {kind!r}")


@dataclass(frozen=True)
class ForecastSchema:
    """See `ForecastTask`; `levels` are those of the quantiles."""

    reading: Histories
    shape: ForecastShape
    distribution: str
    levels: list[float]


def forecast_schema(schema: dict[str, Any]) -> ForecastSchema:
    """RunError where something is missing or does not fit."""
    reading = Histories.from_json(entry(schema, "reading", dict))
    shape, levels = entry(schema, "shape", dict), entry(schema, "quantiles", list)
    counts = [shape.get(name) for name in ("context", "horizon", "segment", "past", "known")]
    # a tuple where the estimator that was pickled had not been written to a folder yet
    counts += shape["seasons"] if isinstance(shape.get("seasons"), list | tuple) else [None]
    whole = all(type(count) is int and count >= 0 for count in counts)
    if set(shape) != {f.name for f in fields(ForecastShape)} or not whole:
        raise RunError("the data's schema does not describe the window of the forecast")
    try:
        found = ForecastShape(**{**shape, "seasons": tuple(shape["seasons"])})
        return ForecastSchema(reading, found, entry(schema, "distribution", str), [float(level) for level in levels])
    except (TypeError, ValueError) as error:
        raise RunError(f"the data's schema is damaged ({error})") from None


@dataclass(frozen=True)
class TranslateSchema:
    """See `TranslateTask`."""

    attention: str
    input_feeding: bool
    columns: PairColumns
    search: BeamSearch
    stretch: float


def translate_schema(
    plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None
) -> tuple[PairVocabulary, TranslateSchema]:
    """The vocabulary, which there must be, and the rest; RunError where something is missing or does not fit."""
    if not isinstance(vocabulary, PairVocabulary) or plan.outputs != len(vocabulary.target):
        raise RunError("the vocabulary is not one of two languages with an entry for each output")
    vocabulary.special(SENTENCE)
    columns, beam = entry(schema, "columns", dict), entry(schema, "beam", dict)
    try:
        return vocabulary, TranslateSchema(
            entry(schema, "attention", str),
            entry(schema, "input_feeding", bool),
            PairColumns(**columns),
            search_of(vocabulary, **beam),
            float(entry(schema, "stretch", int, float)),
        )
    except TypeError as error:
        raise RunError(f"the data's schema has strange entries ({error})") from None


@dataclass(frozen=True)
class CaptionSchema:
    """See `CaptionTask`."""

    sight: Sight
    reader: PictureReader
    longest: int
    beam: int


def caption_schema(schema: dict[str, Any], vocabulary: Vocabulary | None) -> tuple[Vocabulary, CaptionSchema]:
    """The vocabulary, which there must be, and the rest; RunError where something is missing or does not fit."""
    if vocabulary is None or CAPTION not in vocabulary.specials:
        raise RunError(f"the vocabulary lacks the unit {CAPTION}")
    longest, beam = entry(schema, "longest", int), entry(schema, "beam", int)
    if longest < 1 or beam < 1:
        raise RunError(f"the data's schema has a longest caption of {longest} units and a beam of {beam}")
    sight, reader = sight_from_json(entry(schema, "sight", dict)), reader_from_json(entry(schema, "reader", dict))
    return vocabulary, CaptionSchema(sight, reader, longest, beam)
