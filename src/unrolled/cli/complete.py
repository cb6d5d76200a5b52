"""`unrolled complete RUN TEXT`: the likeliest next words, symbols or units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Column, Row, Run, note_unknown, open_as, read_units, unnamed
from unrolled.errors import UsageError

Text = Annotated[str | None, unnamed("the text to complete")]
File = Annotated[
    str | None,
    Parameter(
        help="complete each line of a text file (- for standard input), or each row or sequence of a table",
        allow_leading_hyphen=True,
    ),
]
Count = Annotated[int, Parameter(help="how many words to list")]
Single = Annotated[Flag, Parameter(help="the next unit, such as a character or a base, not a whole word")]


def complete(
    run: Run,
    text: Text = None,
    /,
    *,
    file: File = None,
    column: Column = None,
    count: Count = 10,
    single: Single = False,
    output: Output = Output(),
) -> None:
    """List the likeliest next words, or the next symbols of a sequence, with their probabilities."""
    model = open_as(run, "complete", "language")
    if file is None:
        note_unknown(model, text or "", output)
        rows = _rows(model.complete(text or "", count, single=single))
        output.result({"text": text or "", "completions": rows}, "\n".join(map(_line, rows)))
        return
    if text is not None:
        raise UsageError("give the text to complete, or --file FILE, one of the two.")
    documents = read_units(model, file, None, column)
    found: list[Row] = [
        {"path": origin.path, "row": origin.row, "completions": _rows(model.complete(one, count, single=single))}
        for one, origin in zip(documents.texts, documents.origins, strict=True)
    ]
    output.result({"texts": found}, "\n".join(map(_block, found)))


def _rows(found: list[tuple[str, float]]) -> list[Row]:
    return [{"word": word, "probability": probability} for word, probability in found]


def _line(row: Row) -> str:
    return f"{row['probability']:7.2%}  {row['word'] or '(the end)'}"


def _block(found: Row) -> str:
    where = f"{Path(found['path'])}, row {found['row']}" if found["row"] is not None else str(found["path"])
    return "\n".join([where, *map(_line, found["completions"])])
