"""`unrolled predict RUN INPUT` for a run of `train tag`: an answer for each step, as soon as the model can give it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.cli.output import Output
from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.tasks.tag import TagTask

Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A step with what is shown of it: the sequence that it belongs to, its head, and the step itself."""

    sequence: int
    head: Row
    value: Any


def predict_steps(
    model: TagTask, run: Path, source: str | None, literal: str | None, form: str, output: Output
) -> None:
    """Print an answer a step: a causal model as the steps arrive, in constant memory, another when a sequence ends."""
    if (source is None) == (literal is None):
        raise UsageError("give a file (or - for standard input) or --literal TEXT, one of the two.")
    film = model.layout.kind == "frames"
    rows = _films(model, source) if film else answers(model, steps_of(model, source, literal))
    if output.json or form == "json":
        Output(json=True, quiet=output.quiet).result({"run": run, "predictions": list(rows)}, "")
        return
    lines = {"words": _columns, "numbers": _lines, "frames": _intervals}[model.layout.kind]
    for line in _csv(rows) if form == "csv" else lines(rows):
        print(line, flush=True)


def steps_of(model: TagTask, source: str | None, literal: str | None) -> Iterator[Step]:
    """The steps of the input in their order; a file or standard input is read as it comes."""
    if model.layout.kind == "words":
        return _words(source, literal)
    if literal is not None:
        raise UsageError("this run reads rows of numbers, so it needs a file or standard input, not --literal.")
    return _rows(model, str(source))


def _words(source: str | None, literal: str | None) -> Iterator[Step]:
    from unrolled.data.conll import token_stream
    from unrolled.data.text import text_lines

    if literal is not None:
        sentences: Iterable[tuple[int, int | None, str]] = ((1, None, word) for word in literal.split())
    else:
        sentences = token_stream(text_lines(str(source)), Path("standard input" if source == "-" else str(source)))
    for number, row, word in sentences:
        yield Step(number, {"sequence": number, "row": row, "token": word}, word)


def _films(model: TagTask, source: str | None) -> Iterator[Row]:
    """The answer at each frame of each film, decoded as the model asks for it."""
    from unrolled.data.film import find_films, open_film

    if source is None or source == "-":
        raise UsageError("this run reads films, so it needs a video file or a folder, not standard input or --literal.")
    for path in find_films(source):
        film = open_film(path, rate=model.layout.rate, size=model.layout.size)
        heads: list[Row] = [{"film": path, "time": round(film.time(place), 3)} for place in range(len(film))]
        if model.causal:
            yield from _streamed(model, (Step(0, *pair) for pair in zip(heads, film.frames(), strict=True)))
        else:
            labels, probabilities = model.answer(film)
            for head, label, found in zip(heads, labels, probabilities, strict=True):
                yield _answer(model, head, label, found)


def _rows(model: TagTask, source: str) -> Iterator[Step]:
    from unrolled.data.steps import step_stream
    from unrolled.data.text import text_lines

    layout = model.layout
    number, before = 0, None
    path = Path("standard input" if source == "-" else source)
    for row, key, values in step_stream(text_lines(source), layout.features, layout.sequence, path, clock=layout.clock):
        number += key != before
        before = key
        head: Row = {"sequence": key} if layout.sequence is not None else {}
        yield Step(number, {**head, "row": row}, values)


def answers(model: TagTask, steps: Iterable[Step]) -> Iterator[Row]:
    """Head, label and its probabilities of each step."""
    if model.causal:
        yield from _streamed(model, steps)
        return
    for _, group in groupby(steps, key=lambda step: step.sequence):
        members = list(group)
        labels, probabilities = model.answer(model.reader.joined([step.value for step in members]))
        for step, label, found in zip(members, labels, probabilities, strict=True):
            yield _answer(model, step.head, label, found)


def _streamed(model: TagTask, steps: Iterable[Step]) -> Iterator[Row]:
    stream, before = model.stream(), None
    for step in steps:
        if before not in (None, step.sequence):
            stream = model.stream()
        before = step.sequence
        (tag,) = stream.push([step.value])["tags"]
        yield {**step.head, **tag}


def _answer(model: TagTask, head: Row, label: Any, found: Any) -> Row:
    by_class = dict(zip(map(str, model.classes), map(float, found), strict=True))
    return {**head, "label": label, "probabilities": by_class}


def _csv(rows: Iterable[Row]) -> Iterator[str]:
    """A line a step, a column for the probability of each label; the names first."""
    writer = csv.writer(_Printer(), lineterminator="")
    for place, row in enumerate(rows):
        flat = {name: value for name, value in row.items() if name != "probabilities"}
        flat |= {f"p({name})": f"{p:.6g}" for name, p in row["probabilities"].items()}
        if not place:
            yield writer.writerow(flat)
        yield writer.writerow(flat.values())


class _Printer:
    """What makes `csv.writer.writerow` return its line."""

    def write(self, line: str) -> str:
        return line


def _columns(rows: Iterable[Row]) -> Iterator[str]:
    """Words with their labels as CoNLL columns."""
    before = None
    for row in rows:
        if before not in (None, row["sequence"]):
            yield ""
        before = row["sequence"]
        yield f"{row['token']}\t{row['label']}"


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    """A line for each row."""
    for row in rows:
        name = f"{row['sequence']} " if "sequence" in row else ""
        yield f"{name}row {row['row']}  {row['label']}  {row['probabilities'][str(row['label'])]:.1%}"


def _intervals(rows: Iterable[Row]) -> Iterator[str]:
    """A line for each stretch of frames with one label, as soon as it is over: from, to the last frame, label."""
    for (film, label), group in groupby(rows, key=lambda row: (row["film"], row["label"])):
        times = [row["time"] for row in group]
        yield f"{film}  {_clock(times[0])} to {_clock(times[-1])}  {label}  ({len(times)} frames)"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{rest:06.3f}"


def class_lines(table: dict[str, dict[str, float]]) -> str:
    """Precision, recall, F1 and count of each label."""
    wide = max(5, *map(len, table))
    lines = [f"{'label':<{wide}}  precision  recall      f1   count"]
    lines += [
        f"{name:<{wide}}  {row['precision']:>9.4f}  {row['recall']:.4f}  {row['f1']:.4f}  {row['count']:>6,}"
        for name, row in table.items()
    ]
    return "\n".join(lines)
