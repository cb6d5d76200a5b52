"""What a run answers to whole inputs, a plain mapping for each, under the names that `unrolled predict --json` uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.data.histories import Histories
from unrolled.serve.messages import as_object, kind_of, short
from unrolled.serve.refusal import Refusal

if TYPE_CHECKING:
    from unrolled.tasks.caption import CaptionTask
    from unrolled.tasks.classify import ClassifyTask
    from unrolled.tasks.forecast import ForecastTask
    from unrolled.tasks.forecast_answers import Forecast
    from unrolled.tasks.language import LanguageTask
    from unrolled.tasks.model import TaskModel
    from unrolled.tasks.regress import RegressTask
    from unrolled.tasks.tag import TagTask
    from unrolled.tasks.transcribe import TranscribeTask
    from unrolled.tasks.translate import TranslateTask

Row = dict[str, Any]
Options = tuple[tuple[str, Any], ...]

# The table of an alignment has so many places: of a longer input the times are left out.
_MOST_ALIGNED = 1_000_000

Range = tuple[type, float, float]
# What a request may ask for beside its inputs: the kind of value, the least and the most (of a text, characters).
OPTIONS: dict[str, dict[str, Range]] = {
    "language": {
        "count": (int, 1, 100),
        "length": (int, 0, 2000),
        "temperature": (float, 0.0, 10.0),
        "top_k": (int, 1, 1_000_000),
        "top_p": (float, 0.0, 1.0),
        "seed": (int, 0, 2**31 - 1),
    },
}
# The choices of a stream (docs/streaming.md) that a stranger may make.
CHOICES: dict[str, dict[str, Range]] = {
    "language": {"next": (int, 0, 1000)},
    "transcribe": {"beam": (int, 1, 64), "weight": (float, -100.0, 100.0), "bonus": (float, -100.0, 100.0)},
    "forecast": {"series": (str, 0, 200), "start": (str, 0, 40)},
}


def options_of(task: str, value: Any) -> Options:
    """The options of a request, checked. Raises Refusal (422)."""
    return tuple(sorted(_within(value, "options", task, OPTIONS).items()))


def choices_of(task: str, value: Any) -> Row:
    """The choices of a stream, checked; null is a choice that was not made. Raises Refusal (422)."""
    made = {name: found for name, found in value.items() if found is not None} if isinstance(value, dict) else value
    return _within(made, "choices", task, CHOICES)


def written_choices(task: str, written: Mapping[str, str]) -> Row:
    """The same from an address, where all values are texts. Raises Refusal (422)."""
    kinds = CHOICES.get(task, {})
    meant = {name: _meant(text, kinds[name][0]) if name in kinds else text for name, text in written.items()}
    return choices_of(task, meant)


def _meant(text: str, kind: type) -> Any:
    """The number that a text is; another text stays one, and is refused for it."""
    try:
        return kind(text)
    except ValueError:
        return text


def _within(value: Any, what: str, task: str, table: Mapping[str, Mapping[str, Range]]) -> Row:
    known = table.get(task, {})
    if value in (None, {}):
        return {}
    if not known:
        raise Refusal(422, f"{what} is {short(value)}, and a run of the task {task} has none; leave it out.")
    given = as_object(value, tuple(known))
    for name, found in given.items():
        kind, least, most = known[name]
        good = isinstance(found, kind if kind is not float else int | float) and not isinstance(found, bool)
        if not good or not least <= (len(found) if kind is str else found) <= most:
            said = short(found) if isinstance(found, int | float) else kind_of(found)
            raise Refusal(422, f"{name} is {said}; give {_KIND_NAMES[kind]} from {least:g} to {most:g}.")
    return given


_KIND_NAMES = {int: "a whole number", float: "a number", str: "a text of a length"}


def answers(model: TaskModel[Any], inputs: Sequence[Any], options: Options = ()) -> list[Row]:
    """An answer for each input, in their order. Raises ArgumentError and DataError where one does not fit."""
    return _ANSWERS[model.task](model, inputs, dict(options))


def _classify(model: ClassifyTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    names = [str(name) for name in model.classes]
    found: list[Row] = []
    for row in model.probabilities(inputs).tolist():
        by_class = dict(zip(names, row, strict=True))
        if model.several:
            found.append({"labels": [name for name, p in by_class.items() if p > 0.5], "probabilities": by_class})
        else:
            found.append({"label": max(by_class, key=by_class.__getitem__), "probabilities": by_class})
    return found


def _regress(model: RegressTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    return [{"values": dict(zip(model.names, row, strict=True))} for row in model.predict(inputs).tolist()]


def _tag(model: TagTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    labels, scores = model.predict(inputs), model.probabilities(inputs)
    found: list[Row] = []
    for several, row, sequence in zip(labels, scores, inputs, strict=True):
        places = [model.classes.index(label) for label in several]
        sure = row[np.arange(len(row)), places].tolist()
        words = {"words": list(sequence)} if model.layout.kind == "words" else {}
        found.append({**words, "labels": [str(label) for label in several], "probabilities": sure})
    return found


def _language(model: LanguageTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    count, length = options.get("count", 10), options.get("length", 0)
    drawing = {name: options[name] for name in ("temperature", "top_k", "top_p", "seed") if name in options}
    found: list[Row] = []
    for text, score in zip(inputs, model.score(inputs), strict=True):
        likely = [{"text": name, "probability": p} for name, p in model.complete(text, count)]
        row: Row = {**score.metrics(), "next": likely}
        if length:
            row["continuation"] = "".join(model.generate(text, length, **drawing))
        found.append(row)
    return found


def _forecast(model: ForecastTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    found = model.forecast(Histories(Path("request"), model.reading.layout, list(inputs)))
    each = len(model.reading.layout.targets)
    return [{"forecast": _series(model, found[k * each : (k + 1) * each])} for k in range(len(inputs))]


def _series(model: ForecastTask, found: Sequence[Forecast]) -> list[Row]:
    rows: list[Row] = []
    for one in found:
        named = {"target": one.target} if one.target else {}
        named |= {"series": one.series} if one.series else {}
        quantiles = {f"q{level:g}": one.quantiles[:, k].tolist() for k, level in enumerate(model.levels)}
        times = {} if one.times is None else {"times": list(one.times)}
        rows.append({**named, **times, "values": one.values.tolist(), "quantiles": quantiles})
    return rows


def _translate(model: TranslateTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    best = [several[0] for several in model.translate(inputs)]
    return [{"text": one.text, "log_probability": one.log_probability} for one in best]


def _caption(model: CaptionTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    images = np.stack(list(inputs)) if model.sight.features is None else np.stack(list(inputs)).astype(np.float32)
    seen = model.reader.seen(images) if model.sight.features is None else images
    found = [several[0] for several in model.describe(seen)]
    return [
        {
            "caption": one.text,
            "log_probability": one.log_probability,
            "units": list(one.units),
            "attention": np.round(one.attention, 5).tolist(),
        }
        for one in found
    ]


def _transcribe(model: TranscribeTask, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Row]:
    logs = model.logs(inputs)
    found: list[Row] = []
    for one, text in zip(logs, model.read_out(logs), strict=True):
        row: Row = {"text": text}
        if text and len(one) * len(text) <= _MOST_ALIGNED:
            row["symbols"] = [
                {
                    "symbol": model.vocabulary.token(span.symbol),
                    "start": model.time_of(span.start),
                    "end": model.time_of(span.end),
                }
                for span in model.align(one, text)
            ]
        found.append(row)
    return found


_ANSWERS: dict[str, Callable[[Any, Sequence[Any], Mapping[str, Any]], list[Row]]] = {
    "classify": _classify,
    "regress": _regress,
    "tag": _tag,
    "language": _language,
    "forecast": _forecast,
    "translate": _translate,
    "caption": _caption,
    "transcribe": _transcribe,
}


def output_of(model: TaskModel[Any]) -> Row:
    """What kind of answers a run gives, for a page that shows them."""
    found: Row = {"kind": _KINDS[model.task]}
    if hasattr(model, "classes"):
        found["labels"] = [str(name) for name in model.classes]
        found["several"] = bool(getattr(model, "several", False))
    if hasattr(model, "names"):
        found["names"] = list(model.names)
    shape: Any = getattr(model, "shape", None)
    if hasattr(model, "levels"):
        found |= {"horizon": shape.horizon, "quantiles": [f"q{level:g}" for level in model.levels]}
    return found


_KINDS = {
    "classify": "label",
    "regress": "values",
    "tag": "labels",
    "language": "next",
    "forecast": "forecast",
    "translate": "text",
    "caption": "caption",
    "transcribe": "text",
}
