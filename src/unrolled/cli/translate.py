"""`unrolled translate RUN INPUT`: texts in another language, the best few, where each word looked; or line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Column, Input, Literal, Row, Run, open_as, read_texts
from unrolled.errors import RunError, UsageError

if TYPE_CHECKING:
    from unrolled.data import Documents
    from unrolled.decode import BeamSearch
    from unrolled.tasks.translate import TranslateTask
    from unrolled.tasks.translation import Translation


@Parameter(name="*")
@dataclass(frozen=True)
class Searching:
    """How translations are found; the run's own way where nothing is said."""

    beam: int | None = None
    """translations followed at a time; 1 takes the likeliest unit at every step"""
    best: int = 1
    """how many translations of each text are given"""
    length_penalty: float | None = None
    """0: short translations win; larger: long ones are preferred"""
    coverage_penalty: float | None = None
    """how much a source word that was never looked at costs"""

    def search(self, model: TranslateTask) -> BeamSearch:
        """The same as the decoder wants it."""
        from unrolled.tasks.translation import asked_search

        return asked_search(model.search, self.best, self.beam, self.length_penalty, self.coverage_penalty)


Picture = Annotated[Path | None, Parameter(help="draw where each unit of one translation looked, as a PNG")]
Attention = Annotated[Flag, Parameter(help="with --json: the weights with which each unit looked at the source")]


def translate(
    run: Run,
    source: Input = None,
    /,
    *,
    literal: Literal = None,
    column: Column = None,
    searching: Searching = Searching(),
    attention: Attention = False,
    picture: Picture = None,
    output: Output = Output(),
) -> None:
    """Translate a text, the lines of a file, or standard input (-) line by line, each answered at once."""
    model = open_as(run, "translate", "translate")
    search = searching.search(model)
    if source == "-" and literal is None and picture is None:
        converse(model, search, output, attention=attention)
        return
    answer(model, run, source, output, search, literal=literal, column=column, attention=attention, picture=picture)


def answer(
    model: TranslateTask,
    run: Path,
    source: str | None,
    output: Output,
    search: BeamSearch,
    *,
    literal: str | None = None,
    column: str | None = None,
    form: str = "text",
    attention: bool = False,
    picture: Path | None = None,
) -> None:
    """Print the translation of each text of a file or a table."""
    from unrolled.cli.predict import table

    documents = _documents(model, source, literal, column)
    found = model.translate(documents.texts, search)
    rows: list[Row] = []
    for text, origin, several in zip(documents.texts, documents.origins, found, strict=True):
        rows.append({"path": origin.path, "row": origin.row, **_row(text, several, attention=attention)})
    if picture is not None:
        _draw(picture, found)
    lines = "\n".join(_lines(text, several) for text, several in zip(documents.texts, found, strict=True))
    as_json = Output(json=output.json or form == "json", quiet=output.quiet)
    as_json.result({"run": run, "translations": rows, "picture": picture}, table(rows) if form == "csv" else lines)


def _documents(model: TranslateTask, source: str | None, literal: str | None, column: str | None) -> Documents:
    from unrolled.data import is_table
    from unrolled.data.pairs import read_sources

    if source is None or source == "-" or literal is not None or not is_table(Path(source)):
        return read_texts(source, literal, column, None)
    return read_sources(source, replace(model.columns, source=column or model.columns.source))


def converse(model: TranslateTask, search: BeamSearch, output: Output, *, attention: bool = False) -> None:
    """Answer each line of standard input as it comes; an empty line is answered by an empty one."""
    rows: list[Row] = []
    if sys.stdin.isatty():
        output.note("Type a text and it is translated; Ctrl-D ends.")
    for number, text in _typed():
        several = model.translate([text], search)[0] if text else []
        rows.append({"row": number, **_row(text, several, attention=attention)})
        if output.streams:
            print(_lines(text, several), flush=True)
    if not output.streams:
        output.result({"translations": rows}, "")


def _typed() -> Iterator[tuple[int, str]]:
    """The lines of standard input without waiting for the next; DataError for one that is not UTF-8."""
    from unrolled.data.text import STANDARD_INPUT, decode_text
    from unrolled.errors import DataError

    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            yield number, decode_text(line, STANDARD_INPUT).strip()
        except DataError as error:
            sentence = str(error).split(": ", 1)[1]
            raise DataError(sentence, STANDARD_INPUT, number) from None


def _row(text: str, several: Sequence[Translation], *, attention: bool) -> Row:
    """The best translation, and the others where there are any."""
    row: Row = {"text": text, "translation": several[0].text if several else ""}
    if len(several) > 1:
        row["translations"] = [
            {"translation": one.text, "score": one.score, "log_probability": one.log_probability} for one in several
        ]
    if attention and several:
        row |= {"source": several[0].source, "pieces": several[0].pieces, "attention": several[0].attention}
    return row


def _lines(text: str, several: Sequence[Translation]) -> str:
    if len(several) < 2:
        return several[0].text if several else ""
    return "\n".join([text, *(f"  {one.score:8.3f}  {one.text}" for one in several)])


def _draw(picture: Path, found: Sequence[Sequence[Translation]]) -> None:
    from unrolled.tasks.attention_picture import attention_picture
    from unrolled.tasks.run import write_bytes

    if len(found) != 1:
        raise UsageError(f"--picture draws one translation, and there are {len(found)}; give one with --literal TEXT.")
    if picture.exists():
        raise RunError(f"{picture} is there already; choose another --picture.")
    write_bytes(picture, attention_picture(found[0][0]))
