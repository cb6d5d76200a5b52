"""`--cell`: a cell of the library by name, or one of the user's own from the file that the user names."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from unrolled import cells
from unrolled.cell import Cell, Program, trace
from unrolled.errors import CellError


def load_cell(choice: str | Cell | Program) -> Program:
    """The program of "gru", of "my_cells.py:MyCell", or of a cell.

    `file.py:Name` runs that file, which is the only code that a task ever runs for a user. Raises CellError.
    """
    return trace(find_cell(choice) if isinstance(choice, str) else choice)


def find_cell(choice: str) -> Cell:
    """The cell that `--cell` names so; raises CellError."""
    file, colon, name = choice.rpartition(":")
    if colon:
        return _cell_of(_run(Path(file)), file, name)
    if choice.endswith(".py"):
        raise CellError(f"{choice} names a file but no cell in it; write {choice}:NAME")
    return cells.by_name(choice)


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"unrolled_user_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise CellError(f"{path}: there is no such Python file; give file.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CellError(f"{path}: running the file failed with {type(error).__name__}: {error}") from error
    return module


def _cell_of(module: ModuleType, file: str, name: str) -> Cell:
    found = getattr(module, name, None)
    if inspect.isclass(found) and issubclass(found, Cell):
        try:
            found = found()
        except TypeError as error:
            raise CellError(f"{file}:{name} needs values for its fields ({error}); give them defaults") from None
    if isinstance(found, Cell):
        return found
    there = ", ".join(n for n, v in vars(module).items() if _is_own(v, module)) or "none"
    raise CellError(f"{file}:{name}: the file has no cell of that name; its cells are: {there}")


def _is_own(value: object, module: ModuleType) -> bool:
    if inspect.isclass(value):
        return issubclass(value, Cell) and value.__module__ == module.__name__
    return isinstance(value, Cell)
