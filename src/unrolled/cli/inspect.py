"""`unrolled inspect RUN [INPUT]`: what a run is like inside, as a summary, as JSON and as figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.cli.runs import Input, Literal, Run
from unrolled.errors import RunError, UsageError

if TYPE_CHECKING:
    from unrolled.inspect.inspection import Inspection, Opened

Compare = Annotated[Path | None, Parameter(help="another run to set beside this one")]
Out = Annotated[Path | None, Parameter(help="file to write the interactive report to, as one HTML page")]
Figures = Annotated[Path | None, Parameter(help="folder to write the curves to, as PNG")]


def inspect(
    run: Run,
    source: Input = None,
    /,
    *,
    literal: Literal = None,
    compare: Compare = None,
    out: Out = None,
    figures: Figures = None,
    output: Output = Output(),
) -> None:
    """Look inside a run: gradient through time, memory horizon, units, and why it answers as it does.

    Without SOURCE it is the part of its own data that training did not see.
    """
    from unrolled.inspect.inspection import open_inside
    from unrolled.inspect.words import comparison, summary

    if source is not None and literal is not None:
        raise UsageError("give a file (or - for standard input) or --literal TEXT, one of the two.")
    if out is not None and not out.absolute().parent.is_dir():
        raise RunError(f"{out} cannot be written, because its folder is not there; choose another --out.")
    opened = [open_inside(one) for one in (run, compare) if one is not None]
    found = []
    for one in opened:
        output.note(f"looking inside {one.run}")
        found.append(_looked(one, source, literal))
    report = None if out is None else _report(opened[0], found, out)
    drawn = [] if figures is None else _draw(found, figures)
    text = summary(found[0]) if len(found) == 1 else comparison(found)
    data: dict[str, Any] = found[0].to_json() | {"figures": drawn, "report": report}
    if len(found) == 2:
        data["compared"] = found[1].to_json()
    made = [*(f"figure  {path}" for path in drawn), *([] if report is None else [f"report  {report}"])]
    output.result(data, "\n".join([text, *made]))


def _looked(opened: Opened, source: str | None, literal: str | None) -> Inspection:
    """The inspection of one run on INPUT; its depth is measured on its own data where a text alone was given."""
    from unrolled.inspect.inspection import look_inside

    if source is None and literal is None:
        return look_inside(opened)
    examples, items = _given(opened, source, literal)
    item, target = items
    return look_inside(opened, examples=examples, item=item, target=target, name="the input")


def _given(opened: Opened, source: str | None, literal: str | None) -> tuple[Any, tuple[Any, Any]]:
    """The examples that INPUT holds, and the first one; of a text without a label, examples are the run's own."""
    from unrolled.inspect.inspection import first_item

    model = opened.model
    if literal is not None or source == "-":
        from unrolled.data import read_inputs

        text = read_inputs(source, literal=literal).texts
        whole = "\n".join(text)
        kind = getattr(getattr(model, "layout", None), "kind", None)
        if model.vocabulary is None or model.task in ("transcribe", "caption") or kind not in (None, "words"):
            raise UsageError(f"a run of the task {model.task} of this kind reads no text; give a file.")
        if model.task == "language":
            return [whole] if len(whole) > 400 else None, (whole, None)
        return None, (whole.split() if model.task == "tag" else text[0], None)
    examples = model.read_part(Path(str(source)))
    return examples, first_item(model, examples)


def _report(opened: Opened, found: list[Inspection], file: Path) -> Path:
    """The page that shows all of it."""
    from unrolled.inspect.report import write_report

    return write_report(opened, found[0], file, found[1] if len(found) > 1 else None)


def _draw(found: list[Inspection], folder: Path) -> list[Path]:
    """The curves as pictures."""
    from unrolled.inspect.figures import write_figures

    return write_figures(found, folder)
