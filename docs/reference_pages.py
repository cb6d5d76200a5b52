"""Pages written from the code before each build: one a cell with equations and diagram, and the public names."""

from __future__ import annotations

import inspect
from pathlib import Path

import unrolled
from unrolled import cells
from unrolled.cell import Cell, Sizes, to_latex, trace

SIZES = Sizes(input=128, hidden=256, output=256)


def write(folder: Path) -> None:
    """All pages; one that has not changed is left alone, so that builds stay quick, and an old one is removed."""
    pages = {f"cells/{name}.md": cell_page(name, cells.by_name(name)) for name in cells.names()}
    pages |= {f"cells/{name}.svg": unrolled.draw(cells.by_name(name)).svg() for name in cells.names()}
    pages |= {"cells/index.md": cell_index(), "api.md": api_page()}
    for path in folder.rglob("*.md"):
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def cell_page(name: str, cell: Cell) -> str:
    """Markdown of one cell."""
    program = trace(cell)
    states = ", ".join(f"`{state}`" for state in program.state)
    shapes = [f"| `{key}` | {' × '.join(map(str, shape))} |" for key, shape in program.parameters(SIZES).items()]
    return f"""# {name}

{fenced(inspect.getdoc(type(cell)) or "")}

```{{math}}
{to_latex(program)}
```

![One step of {name}]({name}.svg)

In Python `cells.{cell!r}`, on the command line `--cell {name}`; its states are {states}.

Parameters of a layer with {SIZES.input} inputs and {SIZES.hidden} hidden units:

| name | shape |
|---|---|
""" + "\n".join([*shapes, ""])


def cell_index() -> str:
    """The list of cells."""
    head = "# Cells\n\nThe equations on these pages are printed from the programs that run.\n\n"
    return head + "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(cells.names()) + "\n```\n"


def api_page() -> str:
    """The public names with their signatures and docstrings, as they stand in the code."""
    parts = ["# Public names", ""]
    for name in sorted(unrolled.__all__, key=str.lower):
        value = getattr(unrolled, name)
        if not name.startswith("__"):
            parts += [f"## {name}", "", *signature(name, value), fenced(inspect.getdoc(value) or ""), ""]
    return "\n".join(parts)


def signature(name: str, value: object) -> list[str]:
    """A code block with the call, one argument a line where it is long; nothing for a module."""
    if not callable(value):
        return []
    parameters = [shown(p) for p in inspect.signature(value).parameters.values()]
    call = f"{name}({', '.join(parameters)})"
    if len(call) > 100:
        call = f"{name}(\n    " + ",\n    ".join(parameters) + ",\n)"
    return ["```python", call, "```", ""]


def shown(parameter: inspect.Parameter) -> str:
    """A parameter as it is written in the code, its annotation without quotes."""
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    annotation = "" if parameter.annotation is inspect.Parameter.empty else f": {parameter.annotation}"
    default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
    return f"{star}{parameter.name}{annotation}{default}"


def fenced(docstring: str) -> str:
    """A docstring as it is: its equations and shapes are aligned by hand."""
    return f"```text\n{docstring}\n```"
