"""`unrolled draw RUN`: the network of a run rolled and unrolled, and the inside of its cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.errors import RunError, UsageError

What = Annotated[str, Parameter(help="run folder that `unrolled train` wrote, or a cell: its name or file.py:Name")]
View = Annotated[
    Literal["rolled", "unrolled", "cell"] | None, Parameter(help="draw this one alone; default: all of them")
]
Out = Annotated[
    Path | None,
    Parameter(help="file that ends in .svg, .png or .pdf, or a folder for all views; default: the run's folder"),
]
Steps = Annotated[int | None, Parameter(help="steps of the unrolled picture; default: the first, a gap and the last")]
Theme = Annotated[Literal["light", "dark"], Parameter(help="colours for light or for dark pages")]
Kind = Annotated[Literal["svg", "png", "pdf"], Parameter(help="format of the files in a folder")]


def draw(
    run: What,
    /,
    *,
    view: View = None,
    out: Out = None,
    steps: Steps = None,
    theme: Theme = "light",
    format: Kind = "svg",  # noqa: A002  # what the option is called
    output: Output = Output(),
) -> None:
    """Draw the network of a run rolled and unrolled and the inside of its cell, as SVG, PNG or PDF."""
    single = out is not None and out.suffix != "" and not out.is_dir()
    if single and out is not None and out.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise UsageError(f"{out} names no kind of picture; end it in .svg, .png or .pdf, or give a folder.")
    found = _pictures(run, steps)
    if view is not None:
        found = {name: picture for name, picture in found.items() if name.startswith(view)}
    if not found:
        raise UsageError(f"{run} is a cell, which has no {view} view; give a run, or leave --view out.")
    if single and len(found) > 1:
        raise UsageError(f"{out} is one file, but there are {', '.join(found)}; choose one with --view.")
    folder = out or (Path(run) if Path(run).is_dir() else Path())
    files = {name: out if single and out else folder / f"{name}.{format}" for name in found}
    if not single:
        _make(folder)
    for name, picture in found.items():
        picture.save(files[name], theme)
    rows = [
        {"view": name, "file": files[name], "width": p.width, "height": p.height, "title": p.title}
        for name, p in found.items()
    ]
    output.result({"drawings": rows}, "\n".join(f"{row['file']}: {row['title']}" for row in rows))


def _pictures(run: str, steps: int | None) -> dict[str, Any]:
    if Path(run).is_dir():
        from unrolled.inspect.draw import drawings
        from unrolled.tasks import open_run

        model = open_run(run)
        return drawings(model, steps=steps, name=model.task)
    from unrolled.inspect.draw import draw as draw_cell
    from unrolled.tasks.cells import load_cell

    if not (run.endswith(".py") or ".py:" in run) and ("/" in run or "\\" in run):
        raise RunError(f"{run} is no folder; give a run that `unrolled train` wrote, or the name of a cell.")
    program = load_cell(run)
    return {f"cell-{program.name}" if program.name else "cell": draw_cell(program)}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ({error.strerror}); choose another --out.") from None
