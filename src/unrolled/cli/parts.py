"""A sequence that arrives at a command, part by part: lines of text, rows of numbers, sound, strokes, frames."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import DataError, UsageError

if TYPE_CHECKING:
    from unrolled.data.arrays import Numbers
    from unrolled.tasks.tag import TagTask
    from unrolled.tasks.transcribe import TranscribeTask

_HERE = Path("standard input")
# Samples of sound, columns or steps that are read from a file at once when it is to be seen as a stream.
_SECONDS, _STEPS = 0.25, 16


def parts_of(model: Any, source: str) -> Iterator[Any]:
    """The parts of the one sequence in a file or, for "-", in standard input, each as soon as it is there.

    Raises DataError with the row, and UsageError where the run cannot read such a source.
    """
    if model.task == "transcribe":
        return (part for _, part in signal_parts(model, source))
    if model.task == "classify" and model.reading.kind == "sound":
        return _sound(source, model.reading.rate)
    if model.task == "tag" and model.layout.kind == "frames":
        return _frames(model, source)
    lines = _lines(source)
    if model.vocabulary is not None:
        return lines
    if model.task == "tag" and model.layout.clock is not None:
        return _timed_rows(model, lines, source)
    return _rows(lines, _columns(model), _HERE if source == "-" else Path(source))


def _lines(source: str) -> Iterator[str]:
    from unrolled.data.text import text_lines

    return text_lines(source)


def _columns(model: Any) -> Sequence[str]:
    """The names of the numbers of a row, where the run knows them."""
    if model.task == "tag":
        return tuple(model.layout.features)
    if model.task == "forecast":
        layout = model.reading.layout
        return (*layout.targets, *layout.past, *layout.known)
    return tuple(model.reading.features) if model.task == "classify" else ()


def _rows(lines: Iterable[str], wanted: Sequence[str], path: Path) -> Iterator[Any]:
    """Each line as one row: JSON, or cells with commas, whose names the first line may give."""
    places: Sequence[int] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if line.lstrip().startswith(("[", "{")):
            yield _as_json(line, path, number)
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if places is None:
            names = cells if any(_number(cell) == "" for cell in cells) else None
            places = range(len(cells)) if names is None else _places(names, wanted, path, number)
            if names is not None:
                continue
        yield [[_cell(cells, place, path, number) for place in places]]


def _places(names: Sequence[str], wanted: Sequence[str], path: Path, number: int) -> Sequence[int]:
    from unrolled.data.problems import listed

    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"there is no column {missing[0]!r}; the columns are {listed(names)}", path, number)
    return [names.index(name) for name in wanted] or range(len(names))


def _cell(cells: Sequence[str], place: int, path: Path, number: int) -> float | None:
    if place >= len(cells):
        raise DataError(f"{len(cells)} cells where {place + 1} or more are needed; mend the row", path, number)
    found = _number(cells[place])
    if found == "":
        raise DataError(f"{cells[place][:40]!r} is no number; write one there", path, number)
    return None if found is None else float(found)


def _number(cell: str) -> float | str | None:
    """A cell's number, None where it is empty, "" where it holds something else."""
    if cell in ("", "?"):
        return None
    try:
        return float(cell)
    except ValueError:
        return ""


def _as_json(line: str, path: Path, number: int) -> Any:
    """A list of rows; {"rows": rows, "ahead": rows} stays what it is."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError("the line is neither JSON nor cells; write [1.5, 2] or 1.5,2", path, number) from None
    return found if isinstance(found, dict) or (found and isinstance(found[0], list)) else [found]


def _timed_rows(model: TagTask, lines: Iterable[str], source: str) -> Iterator[Any]:
    """Rows of a table with a column of time stamps, of which the run reads time of day and weekend."""
    from unrolled.data.steps import step_stream

    layout = model.layout
    path = _HERE if source == "-" else Path(source)
    return (values for _, _, values in step_stream(lines, layout.features, None, path, clock=layout.clock))


def _frames(model: TagTask, source: str) -> Iterator[Any]:
    from unrolled.data.film import open_film

    if source == "-":
        raise UsageError("this run reads films, so it needs a video file, not standard input.")
    yield from open_film(Path(source), rate=model.layout.rate, size=model.layout.size).frames()


def _sound(source: str, rate: int) -> Iterator[Numbers]:
    from unrolled.data.audio import read_sound

    size = round(_SECONDS * rate)
    return _pipe_sound(size) if source == "-" else _cut(read_sound(source, rate)[0], size)


def signal_parts(model: TranscribeTask, source: str) -> Iterator[tuple[float, Numbers]]:
    """The signal part by part: how long it is, in seconds of sound, else in steps, and the numbers."""
    from unrolled.data.signals import Sound, Strokes

    signal = model.signal
    if isinstance(signal, Sound):
        yield from ((len(part) / signal.rate, part) for part in _sound(source, signal.rate))
        return
    if source == "-":
        if not isinstance(signal, Strokes):
            raise UsageError(f"a run of {signal.kind} cannot read standard input; give a file.")
        parts = _pipe_strokes()
    else:
        found = model.read_samples(Path(source)).samples
        if len(found) > 1:
            raise UsageError(f"{source} holds {len(found)} samples, and a stream is one; give a file with one.")
        parts = _strokes(found[0]) if isinstance(signal, Strokes) else _cut(found[0], _STEPS)
    yield from ((float(len(part)), part) for part in parts)


def _cut(values: Numbers, size: int) -> Iterator[Numbers]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _strokes(points: Numbers) -> Iterator[Numbers]:
    begins = [*points[:, 2].nonzero()[0].tolist(), len(points)]
    return (points[start:end] for start, end in pairwise(begins))


def _pipe_sound(size: int) -> Iterator[Numbers]:
    import numpy as np

    while data := sys.stdin.buffer.read(2 * size):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)


def _pipe_strokes() -> Iterator[Numbers]:
    from unrolled.data.strokes import points_of

    for row, line in enumerate(sys.stdin, 1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError:
                raise DataError("the line is not JSON; write [[x, y], ...]", _HERE, row) from None
            yield points_of(value, _HERE, row)
