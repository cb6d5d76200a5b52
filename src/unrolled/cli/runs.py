"""What the commands on a finished run share: opening it for a task, and the sequences that they are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unrolled.errors import DataError, RunError, UsageError

if TYPE_CHECKING:
    from unrolled.cli.output import Output
    from unrolled.data import Documents
    from unrolled.tasks.classify import ClassifyTask
    from unrolled.tasks.language import LanguageTask
    from unrolled.tasks.regress import RegressTask
    from unrolled.tasks.sequence_inputs import Inputs

Row = dict[str, Any]
Run = Annotated[Path, Parameter(help="run folder that `unrolled train` wrote")]


def _no_option(_: Any, value: str | None) -> None:
    if value is not None and value.startswith("--"):
        raise ValueError("it looks like an option")


def unnamed(words: str) -> Parameter:
    """An argument without a name: it may be `-` and begin with a hyphen, but two of them are a misspelt option."""
    return Parameter(help=words, allow_leading_hyphen=True, validator=_no_option)


Input = Annotated[str | None, unnamed("file, table or folder, or - for standard input")]
Literal = Annotated[str | None, Parameter(help="the text itself instead of a file", allow_leading_hyphen=True)]
Column = Annotated[str | None, Parameter(help="column of a table that holds the text; default: the run's own")]


def open_as(run: Path, verb: str, *tasks: str) -> Any:
    """The model of a run, which must be of one of `tasks`; RunError says which tasks can `verb`."""
    from unrolled.tasks import open_run

    model = open_run(run)
    if model.task not in tasks:
        able = " or ".join(f"`unrolled train {task}`" for task in tasks)
        raise RunError(f"{run} is a run of the task {model.task}, which cannot {verb}; give a run of {able}.")
    return model


def note_unknown(model: LanguageTask, text: str, output: Output) -> None:
    """Say which units of a prompt the run has never seen."""
    if strange := model.unknown(text):
        output.note(f"unknown to this run: {', '.join(map(repr, strange))}")


def read_texts(
    source: str | None, literal: str | None, column: str | None, own: str | None, *, whole: bool = False
) -> Documents:
    """The texts of INPUT or `--literal`, one of the two; `own` is the column that the run was trained on.

    A text file is a text a line, or with `whole` a single one.
    """
    from unrolled.data import is_table, read_documents, read_inputs

    if (source is None) == (literal is None):
        raise UsageError("give a file (or - for standard input) or --literal TEXT, one of the two.")
    file = source is not None and source != "-"
    if file and not Path(str(source)).exists():
        raise DataError("there is no such file; check the path, or give the text itself with --literal", source)
    if file and is_table(Path(str(source))):
        column = column or own
    return (
        read_documents(str(source), column=column)
        if file and whole
        else read_inputs(source, literal=literal, column=column)
    )


def read_units(
    model: LanguageTask, source: str | None, literal: str | None, column: str | None, *, whole: bool = False
) -> Documents:
    """The texts of INPUT or `--literal` as a language model was trained on them: sequences too, rows of a table."""
    from unrolled.tasks.language import read_texts as read_as_trained

    if model.sequence is None or literal is not None or source is None or not _is_table(source):
        return read_texts(source, literal, column, model.column, whole=whole)
    return read_as_trained(Path(source), column or model.column, model.sequence)


def _is_table(source: str) -> bool:
    from unrolled.data import is_table

    return source != "-" and is_table(Path(source))


def read_sequences(
    model: ClassifyTask | RegressTask, source: str | None, literal: str | None, column: str | None
) -> tuple[Inputs, list[Row]]:
    """What a model is asked about, and for each sequence where it stands and, for text, what it says."""
    if model.task == "classify":
        return _read_to_classify(model, source, literal, column)  # type: ignore[arg-type]  # told by its task
    if model.vocabulary is None:
        path = _file(source, literal, _WHAT["series"])
        inputs: Inputs = model.read_inputs(path)  # type: ignore[assignment]  # a regressor's
        return inputs, [{"path": path, "sequence": place} for place in range(1, len(inputs) + 1)]
    documents = read_texts(source, literal, column, model.columns["text"])  # type: ignore[union-attr]
    return documents.texts, _text_rows(documents)


def _text_rows(documents: Documents) -> list[Row]:
    pairs = zip(documents.texts, documents.origins, strict=True)
    return [{"path": origin.path, "row": origin.row, "text": text} for text, origin in pairs]


def _read_to_classify(
    model: ClassifyTask, source: str | None, literal: str | None, column: str | None
) -> tuple[Inputs, list[Row]]:
    """The same for a classifier, whose run says what its files hold."""
    reading = model.reading
    if reading.kind == "text" or (reading.kind == "dna" and (literal is not None or source == "-")):
        documents = read_texts(source, literal, column, reading.column)
        return documents.texts, _text_rows(documents)
    if column is not None:
        reading = replace(reading, column=column)
    found = reading.unlabelled(_file(source, literal, _WHAT[reading.kind]))
    rows: list[Row] = []
    for place, origin in enumerate(found.origins):
        row: Row = {"path": origin.path, "row": origin.row, "sequence": place + 1}
        if found.names is not None:
            row["name"] = found.names[place]
        rows.append(row)
    return found.inputs, rows


_WHAT = {"series": "sequences of numbers", "sound": "sound", "dna": "DNA"}


def _file(source: str | None, literal: str | None, what: str) -> Path:
    if literal is not None or source in (None, "-"):
        raise UsageError(f"this run reads {what}, so it needs a file or folder, not standard input or --literal.")
    return Path(str(source))
