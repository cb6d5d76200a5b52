"""`unrolled transcribe RUN INPUT`: what was said or written, by a beam search, with its times, or while it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unrolled.cli.evaluate import metric_lines
from unrolled.cli.output import Flag, Output
from unrolled.cli.parts import signal_parts
from unrolled.cli.runs import Row, Run, open_as, unnamed
from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.data.arrays import Numbers
    from unrolled.tasks.search import Search
    from unrolled.tasks.transcribe import TranscribeTask

Source = Annotated[
    str,
    unnamed("a table as for training (its texts are compared if it has them), a file, or - for a stream"),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Searching:
    """How the symbols are found."""

    beam: int = 1
    """candidates that are followed at once; 1 takes the likeliest symbol at every step"""
    language: Path | None = None
    """run of `unrolled train language`, of characters or words, that helps (then the beam is 16 if not given)"""
    weight: float = 0.5
    """weight of the language model"""
    bonus: float = 0.0
    """what each symbol adds to a candidate's score"""

    def choices(self) -> dict[str, Any]:
        """The choices of a stream, with the language model opened."""
        helper = None if self.language is None else open_as(self.language, "help a transcription", "language")
        beam = 16 if self.language is not None and self.beam == 1 else self.beam
        return {"beam": beam, "weight": self.weight, "bonus": self.bonus, "language": helper}

    def search(self, model: TranscribeTask) -> Search:
        """The same for whole inputs."""
        from unrolled.streams.transcript import TranscribeChoices
        from unrolled.tasks.streams.transcribing import search_of

        return search_of(model, TranscribeChoices(**self.choices()))[0]


def transcribe(
    run: Run,
    source: Source,
    /,
    *,
    searching: Searching = Searching(),
    align: Annotated[Flag, Parameter(help="say when each symbol begins and ends")] = False,
    stream: Annotated[Flag, Parameter(help="show the text as the input arrives; needs a run with --causal")] = False,
    output: Output = Output(),
) -> None:
    """Write down what a sound, pen strokes or a picture says.

    From standard input (-) a run of sound takes 16-bit samples (little endian, one channel) at the run's rate, one of
    strokes a JSON list of points [[x, y], ...] a line.
    """
    model = open_as(run, "transcribe", "transcribe")
    if stream or source == "-":
        if align:
            raise UsageError("--align needs the whole input; leave --stream out and give a file.")
        _stream(model, source, searching, output)
        return
    answer(model, run, source, searching.search(model), output, align=align)


def answer(
    model: TranscribeTask,
    run: Path,
    source: str | None,
    search: Search,
    output: Output,
    *,
    align: bool = False,
    form: str = "text",
) -> None:
    """Print the text of each sample of a file or a table; error rates too, where the table has texts."""
    from unrolled.cli.predict import table

    if source in (None, "-"):
        raise UsageError("this run reads files, so it needs a table or a file; streams are for `unrolled transcribe`.")
    found = model.read_samples(Path(str(source)))
    logs = model.logs(found.samples)
    answers = model.read_out(logs, search)
    rows: list[Row] = [
        {"path": origin.path, "row": origin.row, "text": text}
        for origin, text in zip(found.origins, answers, strict=True)
    ]
    if align:
        unit = "steps" if model.signal.seconds(1) is None else "seconds"
        for row, scores in zip(rows, logs, strict=True):
            row |= {"unit": unit, "symbols": _times(model, scores, row["text"])}
    metrics = model.rates(found.texts, answers) if all(found.texts) else {}
    as_json = Output(json=output.json or form == "json", quiet=output.quiet)
    lines = [table(rows)] if form == "csv" else [line for row in rows for line in _lines(row)]
    if metrics and form == "text":
        lines += ["", metric_lines(metrics)]
    as_json.result({"run": run, "predictions": rows, **({"metrics": metrics} if metrics else {})}, "\n".join(lines))


def _times(model: TranscribeTask, logs: Numbers, text: str) -> list[Row]:
    if not text:
        return []
    return [
        {
            "symbol": model.vocabulary.token(span.symbol),
            "start": model.time_of(span.start),
            "end": model.time_of(span.end),
            "score": span.score,
        }
        for span in model.align(logs, text)
    ]


def _lines(row: Row) -> Iterator[str]:
    where = f"{row['path']}, row {row['row']}" if row["row"] is not None else str(row["path"])
    yield f"{where}: {row['text']}"
    places = 2 if row.get("unit") == "seconds" else 0
    for symbol in row.get("symbols", ()):
        times = f"{symbol['start']:8.{places}f} - {symbol['end']:8.{places}f} {row['unit']}"
        yield f"{times}  {symbol['symbol']!r}  log p {symbol['score']:.2f}"


def _stream(model: TranscribeTask, source: str, searching: Searching, output: Output) -> None:
    """Print the text each time that it changes, with the time that had passed in the input."""
    stream = model.stream(**searching.choices())
    rows: list[Row] = []
    places = 0 if model.signal.seconds(1) is None else 2
    steps, before = 0.0, ""
    for length, part in signal_parts(model, source):
        steps += length
        text = stream.push(part)["text"]
        if text != before:
            rows.append({"time": steps, "text": text})
            if output.streams:
                print(f"{steps:8.{places}f}  {text}", flush=True)
        before = text
    text = stream.finish()["text"]
    output.result({"text": text, "parts": rows}, f"     end  {text}")
