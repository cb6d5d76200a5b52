"""`unrolled predict RUN INPUT`: the answer for each sequence, as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.cli.runs import Column, Input, Literal, Row, Run, open_as, read_sequences
from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.tasks.classify import ClassifyTask
    from unrolled.tasks.regress import RegressTask
    from unrolled.tasks.sequence_inputs import Inputs

Format = Annotated[
    typing.Literal["text", "json", "csv"], Parameter(name="--format", help="how the answers are written")
]

Page = Annotated[
    Path | None, Parameter(help="captions: also write a page that shows the pictures and where the model looked")
]
SkipBad = Annotated[Flag, Parameter(help="captions: leave pictures out that cannot be read, and list them")]


def predict(
    run: Run,
    source: Input = None,
    /,
    *,
    literal: Literal = None,
    column: Column = None,
    form: Format = "text",
    page: Page = None,
    skip_bad: SkipBad = False,
    output: Output = Output(),
) -> None:
    """Answer for a text, a file or standard input: labels with probabilities, or numbers."""
    model = open_as(run, "predict", "classify", "regress", "forecast", "tag", "transcribe", "caption", "translate")
    if model.task != "caption" and (page is not None or skip_bad):
        raise UsageError(f"--page and --skip-bad are for captions, and {run} is a run of the task {model.task}.")
    if model.task == "tag":
        from unrolled.cli.tagging import predict_steps

        predict_steps(model, run, source, literal, form, output)
        return
    if model.task == "transcribe":
        from unrolled.cli.transcribe import answer
        from unrolled.tasks.search import GREEDY

        answer(model, run, source, GREEDY, output, form=form)
        return
    if model.task == "translate":
        from unrolled.cli import translate

        if source == "-" and literal is None and form == "text":
            translate.converse(model, model.search, output)
        else:
            translate.answer(model, run, source, output, model.search, literal=literal, column=column, form=form)
        return
    if model.task == "forecast":
        from unrolled.cli.forecasting import forecast

        forecast(model, run, source, literal, form, output)
        return
    if model.task == "caption":
        from unrolled.cli.captioning import predict_captions

        predict_captions(model, run, source, literal, form, page, output, skip_bad=skip_bad)
        return
    inputs, heads = read_sequences(model, source, literal, column)
    answers = _labels(model, inputs) if model.task == "classify" else _numbers(model, inputs)
    rows = [{**head, **answer} for head, answer in zip(heads, answers, strict=True)]
    as_json = Output(json=output.json or form == "json", quiet=output.quiet)
    as_json.result({"run": run, "predictions": rows}, table(rows) if form == "csv" else "\n".join(map(_line, rows)))


def _labels(model: ClassifyTask, inputs: Inputs) -> list[Row]:
    """The label, or every label likelier than not, and the probability of each class."""
    answers: list[Row] = []
    for found in model.probabilities(inputs):
        by_class = dict(zip(map(str, model.classes), map(float, found), strict=True))
        if model.several:
            answers.append({"labels": [name for name, p in by_class.items() if p > 0.5], "probabilities": by_class})
        else:
            answers.append({"label": max(by_class, key=by_class.__getitem__), "probabilities": by_class})
    return answers


def _numbers(model: RegressTask, inputs: Inputs) -> list[Row]:
    """The numbers by the name of their column."""
    return [{"values": dict(zip(model.names, map(float, answer), strict=True))} for answer in model.predict(inputs)]


def table(rows: Sequence[Row]) -> str:
    """The rows as CSV, with a column for each class or number."""
    flat = [_flat(row) for row in rows]
    written = io.StringIO()
    writer = csv.DictWriter(written, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return written.getvalue().rstrip("\n")


def _flat(row: Row) -> Row:
    found: Row = {}
    for name, value in row.items():
        if name == "probabilities":
            found |= {f"p({key})": number for key, number in value.items()}
        elif name == "values":
            found |= value
        else:
            found[name] = ";".join(value) if isinstance(value, list) else value
    return found


def _line(row: Row) -> str:
    what = row["text"] if "text" in row else row.get("name") or f"sequence {row['sequence']}"
    if "values" in row:
        return "  ".join([*(f"{name} {number:.6g}" for name, number in row["values"].items()), what])
    likely = row["labels"] if "labels" in row else [row["label"]]
    answer = ", ".join(f"{name} {row['probabilities'][name]:.1%}" for name in likely)
    return f"{answer or 'no label'}  {what}"
