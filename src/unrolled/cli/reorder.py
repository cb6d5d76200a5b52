"""`unrolled reorder RUN TEXT`: jumbled words in their likeliest order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Column, Row, Run, open_as, read_units, unnamed
from unrolled.errors import UsageError

Text = Annotated[str | None, unnamed("the words to put in order")]
File = Annotated[
    str | None,
    Parameter(help="reorder each line of a file (- for standard input) or row of a table", allow_leading_hyphen=True),
]
Count = Annotated[int, Parameter(help="how many orders to list, likeliest first")]
Exact = Annotated[int, Parameter(help="most words of which the best order is found for certain; more go to a beam")]
Width = Annotated[int, Parameter(help="width of the beam")]
Keep = Annotated[Flag, Parameter(help="capitals and the final mark stay with their words, and help to find the order")]


def reorder(
    run: Run,
    text: Text = None,
    /,
    *,
    file: File = None,
    column: Column = None,
    count: Count = 3,
    exact: Exact = 9,
    width: Width = 64,
    keep: Keep = False,
    output: Output = Output(),
) -> None:
    """Put jumbled words into their likeliest order."""
    if (text is None) == (file is None):
        raise UsageError("give the words to put in order, or --file FILE, one of the two.")
    model = open_as(run, "reorder", "language")
    from unrolled.tasks.order import reorder as find

    documents = read_units(model, file, text, column)
    found: list[Row] = []
    for one, origin in zip(documents.texts, documents.origins, strict=True):
        orders = find(model, one, count, exact=exact, width=width, keep=keep)
        found.append({"path": origin.path, "row": origin.row, "given": one, "orders": [vars(o) for o in orders]})
    if file is None:
        output.result({"given": text, "orders": found[0]["orders"]}, _lines(found[0]))
    else:
        output.result({"texts": found}, "\n".join(f"{_where(row)}\n{_lines(row)}" for row in found))


def _lines(found: Row) -> str:
    """Each order with its cost; all were found in the same way."""
    orders = found["orders"]
    how = "no order costs less" if orders[0]["proven"] else "by a beam: others may cost less"
    lines = [f"{order['nats']:>8.3f}  {order['text']}" for order in orders]
    return "\n".join([f"{'nats':>8}  order ({how})", *lines])


def _where(found: Row) -> str:
    return str(Path(found["path"])) if found["row"] is None else f"{found['path']}, row {found['row']}"
