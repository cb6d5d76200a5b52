"""`unrolled score RUN INPUT`: how likely a language model finds each text."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Column, Input, Literal, Row, Run, open_as, read_units

Rank = Annotated[Flag, Parameter(help="rank the lines by how coherent their order of words is, beside random orders")]
Shuffles = Annotated[int, Parameter(help="random orders that each line is compared with")]
Lines = Annotated[Flag, Parameter(help="score each line of a text file by itself, not the file as one text")]


def score(
    run: Run,
    source: Input = None,
    /,
    *,
    literal: Literal = None,
    column: Column = None,
    lines: Lines = False,
    rank: Rank = False,
    shuffles: Shuffles = 20,
    output: Output = Output(),
) -> None:
    """Say how likely a language model finds each text: perplexity, bits for each character, nats for each unit."""
    model = open_as(run, "score", "language")
    documents = read_units(model, source, literal, column, whole=not (lines or rank))
    rows: list[Row] = [
        {"path": origin.path, "row": origin.row, "characters": cost.characters, "units": cost.units, **cost.metrics()}
        for origin, cost in zip(documents.origins, model.score(documents.texts), strict=True)
    ]
    if rank:
        from unrolled.tasks.order import coherence

        found = zip(rows, documents.texts, coherence(model, documents.texts, shuffles), strict=True)
        rows = sorted(({"text": text, **row, **vars(how)} for row, text, how in found), key=lambda row: -row["gain"])
        output.result({"texts": rows}, "\n".join([_RANKED, *map(_ranked, rows)]))
        return
    output.result({"texts": rows}, "\n".join([_HEAD, *map(_line, rows)]))


_RANKED = "gain nats/word  beats  perplexity  text"
_HEAD = "perplexity  bits/char  nats/unit  text"


def _line(row: Row) -> str:
    where = str(row["path"]) if row["row"] is None else f"{row['path']}, row {row['row']}"
    bits = f"{row['bits_per_character']:.4f}" if "bits_per_character" in row else "-"
    return f"{row['perplexity']:>10.3f}  {bits:>9}  {row['loss']:>9.4f}  {where}"


def _ranked(row: Row) -> str:
    return f"{row['gain']:>14.3f}  {row['rank']:>5.0%}  {row['perplexity']:>10.3f}  {row['text']}"
