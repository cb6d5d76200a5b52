"""The intake of each kind of run, by the readers that its files are read with."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.data import read_inputs, read_steps
from unrolled.data.audio import SOUND_SUFFIXES, sound_size
from unrolled.data.conll import token_stream
from unrolled.data.film import VIDEOS, open_film
from unrolled.data.histories import History, read_histories
from unrolled.data.images import PICTURES, read_image
from unrolled.data.signals import Sound
from unrolled.data.text import text_lines
from unrolled.serve import intake
from unrolled.serve.intake import TABLES, Intake, Item, Later, too_long

if TYPE_CHECKING:
    from unrolled.tasks.caption import CaptionTask
    from unrolled.tasks.classify import ClassifyTask
    from unrolled.tasks.forecast import ForecastTask
    from unrolled.tasks.model import TaskModel
    from unrolled.tasks.regress import RegressTask
    from unrolled.tasks.tag import TagTask
    from unrolled.tasks.transcribe import TranscribeTask

_SOUNDS = tuple(sorted(SOUND_SUFFIXES))
_STEPS_A_SECOND = 100
_SAMPLES_A_STEP = 480
_BASES = "ACGTACGGTA"
_SAMPLES = [0.0, 0.1, 0.2, 0.1, 0.0, -0.1, -0.2, -0.1]


def intake_of(model: TaskModel[Any]) -> Intake:
    """How the inputs of a model are read."""
    found: Intake = _MAKERS[model.task](model)
    return found


def _texts(path: Path, most: int, column: str | None) -> list[Item]:
    texts = read_inputs(path, column=column if path.suffix.lower() in TABLES else None).texts
    return [Item(text, len(text)) for text in texts]


def _language(model: Any) -> Intake:
    read = partial(_texts, column=model.column)
    return Intake("text", intake.text, read, (".txt", *TABLES), _units(model), "the cat sat on the")


def _units(model: Any) -> dict[str, Any]:
    return {"units": model.vocabulary.units} if model.vocabulary is not None else {}


def _translate(model: Any) -> Intake:
    return Intake("text", intake.text, None, (), _units(model.translator), "She is reading a book.")


def _classify(model: ClassifyTask) -> Intake:
    reading = model.reading
    if reading.kind == "sound":
        told = {"rate": reading.rate, "step_seconds": reading.hop}
        parse = intake.samples(_STEPS_A_SECOND / reading.rate, reading.heard)
        return Intake("sound", parse, partial(_sound_file, model), _SOUNDS, told, _SAMPLES)

    def read(path: Path, most: int) -> list[Item]:
        return [Item(value, len(value)) for value in reading.unlabelled(path).inputs]

    if reading.kind == "series":
        return _series(model, True, read, (".ts", *TABLES), list(reading.features))
    if reading.kind == "dna":
        return Intake("dna", intake.text, read, (".fa", ".fasta", ".txt", *TABLES), {}, _BASES)
    return Intake("text", intake.text, read, (".txt", *TABLES), _units(model), "a text to be read")


def _series(model: Any, missing: bool, read: intake.Read, suffixes: tuple[str, ...], columns: list[str]) -> Intake:
    width = len(model.scaler.mean)
    told = {"width": width, "missing": missing, "columns": columns}
    parse = intake.rows(width, missing=missing)
    return Intake("numbers", parse, read, suffixes, told, _numbers(width))


def _numbers(width: int) -> list[list[float]]:
    return [[round(0.1 * (step + place), 1) for place in range(width)] for step in range(3)]


def _sound_file(model: ClassifyTask, path: Path, most: int) -> list[Item]:
    return [Item(Later(lambda: model.reading.sounds([path])[0]), _sound_steps(path, most))]


def _sound_steps(path: Path, most: int) -> int:
    """Steps of 10 ms, by the file's head; nothing is decoded yet. Raises Refusal and DataError."""
    rate, frames, channels = sound_size(path)
    steps = 1 + _STEPS_A_SECOND * frames // max(1, rate)
    # What decoding takes is samples times channels, whatever rate the head names.
    weight = max(steps, frames * channels // _SAMPLES_A_STEP)
    if weight > most:
        raise too_long(weight, most)
    return steps


def _regress(model: RegressTask) -> Intake:
    def read(path: Path, most: int) -> list[Item]:
        return [Item(value, len(value)) for value in model.read_inputs(path)]

    if model.vocabulary is not None:
        return Intake("text", intake.text, read, (".txt", *TABLES), _units(model), "a text to be read")
    return _series(model, False, read, (".csv", ".tsv", ".jsonl"), [])


def _tag(model: TagTask) -> Intake:
    layout = model.layout
    if layout.kind == "words":
        return Intake("words", intake.words, _sentences, (".conll", ".txt"), {}, ["The", "dog", "barks"])
    if layout.kind == "frames":
        read_film = partial(_frames, rate=layout.rate, size=layout.size)
        return Intake("film", None, read_film, VIDEOS, {"rate": layout.rate, "size": layout.size})
    columns = [*layout.features, *filter(None, [layout.clock])]

    def read(path: Path, most: int) -> list[Item]:
        found = read_steps(
            path, None, sequence=layout.sequence, features=layout.features or None, clock=layout.clock
        ).sequences
        return [Item(value, len(value)) for value in found]

    plain = replace(layout, sequence=None)

    def parse(value: Any, what: str) -> Item:
        objects = isinstance(value, list) and any(isinstance(row, dict) for row in value)
        if layout.clock is None and not objects:
            return intake.rows(len(columns))(value, what)
        with tempfile.TemporaryDirectory() as folder:
            path = intake.as_table(value, what, columns, Path(folder))
            (found,) = read_steps(path, None, features=plain.features or None, clock=plain.clock).sequences
        return Item(found, len(found))

    example: Any = _numbers(len(columns))
    if layout.clock is not None:
        row: dict[str, Any] = dict.fromkeys(layout.features, 0.5)
        example = [row | {layout.clock: "2026-01-31 12:00:00"}]
    told: dict[str, Any] = {"width": len(columns), "columns": columns, "clock": layout.clock}
    return Intake("numbers", parse, read, TABLES, told, example)


def _sentences(path: Path, most: int) -> list[Item]:
    found: dict[int, list[str]] = {}
    for sentence, _, token in token_stream(text_lines(str(path)), path):
        found.setdefault(sentence, []).append(token)
    return [Item(tokens, len(tokens)) for tokens in found.values()]


def _frames(path: Path, most: int, *, rate: float, size: int) -> list[Item]:
    film = open_film(path, rate=rate, size=size)
    if len(film) > most:
        raise too_long(len(film), most)
    return [Item(np.stack(list(film.frames())), len(film))]


def _forecast(model: ForecastTask) -> Intake:
    layout = model.reading.layout
    columns = [*filter(None, [layout.time]), *layout.targets, *layout.past, *layout.known]

    def histories(path: Path) -> list[History]:
        return read_histories(path, layout).series

    def read(path: Path, most: int) -> list[Item]:
        return [Item(history, len(history)) for history in histories(path)]

    def parse(value: Any, what: str) -> Item:
        with tempfile.TemporaryDirectory() as folder:
            if layout.rows:
                found = intake.numbers(value, what).astype(np.float64)[:, None]
                empty = np.empty((len(found), 0))
                return Item(History("", found, empty, empty, None, None), len(found))
            path = intake.as_table(value, what, columns, Path(folder))
            plain = replace(layout, series=None)
            (history,) = read_histories(path, plain, form="columns").series
        return Item(history, len(history))

    told = {
        "columns": columns,
        "time": layout.time,
        "targets": list(layout.targets),
        "past": list(layout.past),
        "known": list(layout.known),
        "context": model.shape.context,
        "horizon": model.shape.horizon,
    }
    numbers = [round(10 + 0.5 * step, 1) for step in range(8)]
    example: Any = numbers
    if len(columns) > 1:
        # What is known ahead has to be told of every step that is foretold.
        coming = range(3, 3 + model.shape.horizon if layout.known else 3)
        example = [{name: _cell_of(name, layout.time, step) for name in columns} for step in (*range(3), *coming)]
        for row in example[3:]:
            row |= dict.fromkeys((*layout.targets, *layout.past))
    return Intake("history", parse, read, TABLES, told, example)


def _cell_of(name: str, time: str | None, step: int) -> Any:
    return str(np.datetime64("2026-01-01") + step) if name == time else round(10 + 0.5 * step, 1)


def _caption(model: CaptionTask) -> Intake:
    reader = model.reader
    if model.sight.features is not None:
        told = {"width": model.sight.features}
        return Intake("features", intake.rows(model.sight.features), None, (), told, _numbers(model.sight.features))

    def read(path: Path, most: int) -> list[Item]:
        return [Item(read_image(path, reader.size), 1)]

    return Intake("picture", None, read, PICTURES, {"size": reader.size})


def _transcribe(model: TranscribeTask) -> Intake:
    signal = model.signal

    def read(path: Path, most: int) -> list[Item]:
        steps = _sound_steps(path, most) if isinstance(signal, Sound) else None
        kept = signal.read(path)
        return [Item(kept, steps or len(kept))]

    if isinstance(signal, Sound):
        told = {"rate": signal.rate, "step_seconds": 1 / _STEPS_A_SECOND}
        parse = intake.samples(_STEPS_A_SECOND / signal.rate, signal.mel)
        return Intake("sound", parse, read, _SOUNDS, told, _SAMPLES)
    if signal.kind == "strokes":
        points = [[[0, 0], [4, 9], [8, 0]], [[2, 4], [6, 4]]]
        return Intake("strokes", intake.strokes, read, signal.suffixes, {}, points)
    if signal.kind == "image":
        return Intake("line", None, read, PICTURES, {"height": signal.width})
    # An .npy file says in its head how much memory it takes, so such features come as JSON alone.
    return Intake("features", intake.rows(signal.width), None, (), {"width": signal.width}, _numbers(signal.width))


_MAKERS: dict[str, Any] = {
    "language": _language,
    "classify": _classify,
    "regress": _regress,
    "tag": _tag,
    "forecast": _forecast,
    "translate": _translate,
    "caption": _caption,
    "transcribe": _transcribe,
}
