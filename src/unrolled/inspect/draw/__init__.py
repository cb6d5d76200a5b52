"""Drawings: a network rolled and unrolled, and the inside of its cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unrolled.cell import Cell, Program, trace
from unrolled.errors import ArgumentError
from unrolled.inspect.draw.cell import cell_picture
from unrolled.inspect.draw.picture import FORMATS, Picture
from unrolled.inspect.draw.theme import THEMES

if TYPE_CHECKING:
    from unrolled.inspect.draw.structure import Structure

__all__ = ["FORMATS", "THEMES", "VIEWS", "Picture", "draw", "drawings"]

VIEWS = ("rolled", "unrolled", "cell")


def draw(thing: Any, view: str | None = None, *, steps: int | None = None, name: str | None = None) -> Picture:
    """A picture of a cell, a layer, a network, a task's model or a fitted estimator.

    - `rolled`: one copy, whose state comes back to it; the widths of what flows and the number of weights.
    - `unrolled`: a copy for each step, handing its state on; `steps` of them, or the first, a gap and the last.
    - `cell`: the gates and operations of one step, laid out from the cell's program.

    A cell shows its inside, anything else is unrolled unless `view` says otherwise. A notebook shows the picture,
    `picture.save("gru.svg")` writes it (SVG, PNG or PDF; theme "light" or "dark"). Raises ArgumentError for another
    view, for anything without a recurrent layer and for too many steps.
    """
    if view is not None and view not in VIEWS:
        raise ArgumentError(f"there is no view {view!r}; choose one of {', '.join(VIEWS)}.")
    if isinstance(thing, (Cell, Program)):
        if view not in (None, "cell"):
            raise ArgumentError(f"a cell has no {view} view; draw a layer of it, such as Recurrent(cell, 8, 16).")
        return cell_picture(trace(thing))
    structure = _structure(thing, name)
    return _view(structure, view or "unrolled", steps)


def drawings(thing: Any, *, steps: int | None = None, name: str | None = None) -> dict[str, Picture]:
    """All views of a model by their names: rolled, unrolled and the inside of each of its cells."""
    from unrolled.inspect.draw.structure import programs_of

    structure = _structure(thing, name)
    found = {view: _view(structure, view, steps) for view in ("rolled", "unrolled")}
    programs = programs_of(structure)
    for k, program in enumerate(programs, 1):
        found["cell" if len(programs) == 1 else f"cell-{k}"] = cell_picture(program)
    return found


def _structure(thing: Any, name: str | None) -> Structure:
    from unrolled.inspect.draw.structure import structure_of

    structure = structure_of(thing)
    return structure if name is None else replace(structure, name=name)


def _view(structure: Structure, view: str, steps: int | None) -> Picture:
    # Networks need torch, the inside of a cell does not.
    from unrolled.inspect.draw.rolled import rolled_picture
    from unrolled.inspect.draw.structure import programs_of
    from unrolled.inspect.draw.unrolled import unrolled_picture

    if view == "rolled":
        return rolled_picture(structure)
    if view == "unrolled":
        return unrolled_picture(structure, steps)
    return cell_picture(programs_of(structure)[0])
