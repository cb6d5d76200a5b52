"""`unrolled score RUN INPUT`: how likely a language model finds each text."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Column, Input, Literal, Row, Run, open_as, read_units

Lines = Annotated[Flag, Parameter(help="score each line of a text file by itself, not the file as one text")]


def score(
    run: Run,
    source: Input = None,
    /,
    *,
    literal: Literal = None,
    column: Column = None,
    lines: Lines = False,
    output: Output = Output(),
) -> None:
    """Say how likely a language model finds each text: perplexity, bits for each character, nats for each unit."""
    model = open_as(run, "score", "language")
    documents = read_units(model, source, literal, column, whole=not lines)
    rows: list[Row] = [
        {"path": origin.path, "row": origin.row, "characters": cost.characters, "units": cost.units, **cost.metrics()}
        for origin, cost in zip(documents.origins, model.score(documents.texts), strict=True)
    ]
    output.result({"texts": rows}, "\n".join([_HEAD, *map(_line, rows)]))


_HEAD = "perplexity  bits/char  nats/unit  text"


def _line(row: Row) -> str:
    where = str(row["path"]) if row["row"] is None else f"{row['path']}, row {row['row']}"
    bits = row.get("bits_per_character", float("nan"))
    return f"{row['perplexity']:>10.3f}  {bits:>9.4f}  {row['loss']:>9.4f}  {where}"
