"""`unrolled cells`: the cells there are with their sizes, and the equations of one, printed from its trace."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated

from cyclopts import Parameter

from unrolled import cells as catalogue
from unrolled.cell import Cell, Sizes, to_latex, to_text, trace
from unrolled.cli.output import Output
from unrolled.tasks.cells import find_cell

Name = Annotated[str | None, Parameter(help="a cell, e.g. GRU, or one of your own, file.py:NAME")]
Width = Annotated[int, Parameter(help="width that the parameters are counted for")]


@dataclass(frozen=True)
class Page:
    """What is known about a cell from its trace, for one layer of the given widths."""

    cell: str
    summary: str
    states: tuple[str, ...]
    gates: tuple[str, ...]
    equations: tuple[str, ...]
    latex: str
    shapes: dict[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.shapes.values())


def cells(name: Name = None, /, *, input: Width = 128, hidden: Width = 256, output: Output = Output()) -> None:  # noqa: A002
    """List the cells, or print the equations of one."""
    sizes = Sizes(input=input, hidden=hidden, output=hidden)
    if name is not None:
        page = describe(find_cell(name), sizes)
        output.result({**vars(page), "sizes": sizes, "parameters": page.parameters}, _text(page, sizes))
    else:
        pages = {known: describe(catalogue.by_name(known), sizes) for known in catalogue.names()}
        rows = [{"name": known, **_row(page)} for known, page in pages.items()]
        output.result({"sizes": sizes, "cells": rows}, _table(pages, sizes))


def describe(cell: Cell, sizes: Sizes) -> Page:
    """The page of a cell; its summary is the first paragraph of its docstring."""
    program = trace(cell)
    summary = " ".join((type(cell).__doc__ or "").strip().split("\n\n")[0].split())
    if summary.startswith(f"{type(cell).__name__}("):  # what dataclasses write where nothing was written
        summary = "a cell of your own."
    return Page(
        type(cell).__name__,
        summary,
        tuple(program.state),
        program.gates,
        tuple(to_text(program).splitlines()),
        to_latex(program),
        program.parameters(sizes),
    )


def _row(page: Page) -> dict[str, object]:
    return {key: getattr(page, key) for key in ("cell", "summary", "states", "gates", "parameters")}


def _table(pages: dict[str, Page], sizes: Sizes) -> str:
    wide = max(map(len, pages))
    lines = [f"{'cell':<{wide}}  {'parameters':>10}  what it is"]
    lines += [f"{name:<{wide}}  {page.parameters:>10,}  {page.summary}" for name, page in pages.items()]
    widths = f"{sizes.input} inputs and {sizes.hidden} hidden units"
    return "\n".join([*lines, "", f"Parameters of one layer with {widths}; unrolled cells NAME prints the equations."])


def _text(page: Page, sizes: Sizes) -> str:
    wide = max(map(len, page.shapes))
    lines = [f"{page.cell}: {page.summary}", "", *(f"  {line}" for line in page.equations), ""]
    lines += [f"  {name:<{wide}}  {' x '.join(map(str, shape))}" for name, shape in page.shapes.items()]
    return "\n".join([*lines, f"  {page.parameters:,} parameters with {sizes.input} inputs and {sizes.hidden} units"])
