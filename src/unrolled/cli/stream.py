"""`unrolled stream RUN`: one input that is still arriving, an answer after each part, and its state in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unrolled.cli.observed import ahead_of, names_its_columns, observed
from unrolled.cli.output import Flag, Output, as_json
from unrolled.cli.parts import parts_of
from unrolled.cli.runs import Run, open_as, unnamed
from unrolled.errors import DataError

if TYPE_CHECKING:
    from unrolled.streams import Stream

Source = Annotated[str, unnamed("a file with one input, or - for standard input as it comes")]
State = Annotated[
    Path | None,
    Parameter(help="go on from this file, if it is there, and write where the input stopped to it; not the end yet"),
]
End = Annotated[Flag, Parameter(help="with --state: the input ends here, so the last answer is final")]


@Parameter(name="*")
@dataclass(frozen=True)
class Choices:
    """How the stream is opened; each is for one task."""

    next: int | None = None
    """language: how many of the likeliest next units each answer lists; default: 5"""
    beam: int | None = None
    """transcribe: candidates that are followed at once; default: 1, the likeliest symbol at every step"""
    language: Path | None = None
    """transcribe: run of `unrolled train language` that helps"""
    weight: float | None = None
    """transcribe: weight of the language model; default: 0.5"""
    bonus: float | None = None
    """transcribe: what each symbol adds to a candidate's score; default: 0"""
    series: str | None = None
    """forecast: the name of the series"""
    start: str | None = None
    """forecast: the time of the first row"""
    ahead: Path | None = None
    """forecast: table with the columns that are known ahead, a row a step from the first one that is read on"""

    def given(self, model: Any) -> dict[str, Any]:
        """Those that were given, with the language model opened and what is ahead read."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if self.language is not None:
            found["language"] = open_as(self.language, "help a transcription", "language")
        if self.ahead is not None and model.task == "forecast":
            found["ahead"] = ahead_of(model, self.ahead)
        return found


def stream(
    run: Run,
    source: Source = "-",
    /,
    *,
    state: State = None,
    end: End = False,
    choices: Choices = Choices(),
    output: Output = Output(),
) -> None:
    """Answer while one input is arriving: a line of JSON for each part, as soon as it is there.

    A part is a line of text; a row of numbers with commas, whose columns the first line may name, or as a JSON list; a
    quarter of a second of 16-bit sound; a stroke as JSON [[x, y], ...]. A table of a forecaster also tells when it
    begins and, with blank targets at its end, what is known ahead. The keys are those of model.stream().
    """
    model = open_as(run, "read a stream", "classify", "regress", "tag", "language", "forecast", "transcribe")
    saved = _saved(state)
    parts, told = _source(model, source, choices)
    # A stream that goes on began earlier than this file.
    open_stream: Stream = model.stream(*saved, **{**({} if saved else told), **choices.given(model)})
    answers: list[dict[str, Any]] = []

    def say(answer: dict[str, Any], *, final: bool) -> None:
        answers.append({**answer, "final": final})
        if output.streams:
            print(as_json(answers.pop()), flush=True)

    try:
        for part in parts:
            say(open_stream.push(part), final=False)
        if state is None or end:
            say(open_stream.finish(), final=True)
    finally:
        # What was read is not lost, whatever stopped it.
        if state is not None:
            _write(state, open_stream.state())
    if not output.streams:
        output.result({"run": run, "state": state, "answers": answers}, "")


def _source(model: Any, source: str, choices: Choices) -> tuple[Iterator[Any], dict[str, Any]]:
    """The parts of the input, and the choices that a file makes by itself."""
    if model.task == "forecast" and source != "-" and names_its_columns(model, Path(source)):
        return observed(model, Path(source), planned=choices.ahead is not None)
    return parts_of(model, source), {}


def _saved(state: Path | None) -> tuple[bytes, ...]:
    if state is None or not state.exists():
        return ()
    try:
        return (state.read_bytes(),)
    except OSError as error:
        raise DataError(f"the state could not be read ({error.strerror}); give another file", state) from None


def _write(state: Path, data: bytes) -> None:
    from unrolled.tasks.run import write_bytes

    write_bytes(state, data)
