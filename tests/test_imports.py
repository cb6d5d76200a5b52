"""Imports run one way: the table of docs/architecture.md, read from the source without running it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "unrolled"

# What a room may import besides itself and `errors`; "room.part" allows that part alone.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "cell": set(),
    "cells": {"cell"},
    "engine": {"cell"},
    "layers": {"cell", "cells", "engine"},
    "nn": {"layers"},
    "models": {"cell", "cells", "layers"},
    "data": set(),
    "train": {"cell", "data"},
    "decode": {"cell", "data"},
    "streams": {"data", "decode"},
    "tasks": {"cell", "cells", "layers", "models", "data", "train", "decode", "streams"},
    "inspect": {"cell", "cells", "engine", "layers", "models", "data", "train", "decode", "tasks"},
    "export": {"cell", "cells", "engine", "layers", "models", "data", "decode", "tasks"},
    "tune": {"data", "train", "tasks"},
    "runtime": {"cell", "engine.cpu", "models.shapes", "models.student", "data", "decode", "streams", "tasks"},
    "serve": {"cell", "layers", "models", "data", "decode", "tasks", "inspect", "runtime", "streams"},
}
EVERYWHERE = {"cli", "bench"}
WITHOUT_TORCH = {"errors", "cell", "cells", "data", "runtime", "streams"}


def sources() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or p.stem not in {"__init__", "__main__"})


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported_modules(tree: ast.AST) -> list[tuple[str, int]]:
    """Dotted names of all that is imported, `from a import b` as "a.b", with their lines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def refusal(room: str, module: str) -> str | None:
    """Why `room` may not import `module`, or None."""
    parts = module.split(".")
    if parts[0] == "torch" and room in WITHOUT_TORCH:
        return "has no torch"
    if parts[0] != "unrolled" or len(parts) == 1 or parts[1] == "__version__" or room in EVERYWHERE:
        return None
    target = parts[1]
    if target in {room, "errors"} or target in ALLOWED[room] or ".".join(parts[1:3]) in ALLOWED[room]:
        return None
    return f"may not import {target}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED or room in EVERYWHERE, f"{room} is not in the table: add it here and in docs/architecture.md"
    faults = [
        f"{path}:{line}: {room} {why} ({module})"
        for module, line in imported_modules(ast.parse(path.read_text(encoding="utf-8")))
        if (why := refusal(room, module))
    ]
    assert not faults, "\n".join(faults)


def test_layers_use_the_engine_by_its_public_names() -> None:
    inside = {path.stem for path in (SOURCE / "engine").glob("*.py")} - {"scan", "__init__"}  # scan is also a function
    for path in (SOURCE / "layers").rglob("*.py"):
        for module, line in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
            parts = module.split(".")
            hidden = parts[:2] == ["unrolled", "engine"] and (len(parts) > 3 or parts[-1] in inside)
            assert not hidden, f"{path}:{line}: {module} is inside the engine"


@pytest.mark.parametrize(
    ("room", "module", "good"),
    [
        ("cells", "unrolled.cell.Cell", True),
        ("cells", "unrolled.engine.scan", False),
        ("cell", "torch.nn", False),
        ("engine", "unrolled.cells.LSTM", False),
        ("train", "unrolled.tasks.TASKS", False),
        ("runtime", "unrolled.engine.cpu.kernel", True),
        ("runtime", "unrolled.engine.scan", False),
        ("tasks", "unrolled.cli.main", False),
        ("cli", "unrolled.tasks.TASKS", True),
        ("data", "unrolled.errors.DataError", True),
    ],
)
def test_the_table_itself(room: str, module: str, good: bool) -> None:
    assert (refusal(room, module) is None) == good
