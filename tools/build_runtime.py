"""Build the wheel `unrolled-runtime` of the modules that the runtime loads, none of which needs torch.

python3 tools/build_runtime.py dist
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "unrolled"


def main(dist: str) -> None:
    """Copy the modules, then let pip build them."""
    with tempfile.TemporaryDirectory(prefix="unrolled-runtime-") as name:
        folder = Path(name)
        lay_out(folder)
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(Path(dist).resolve()), "."]
        subprocess.run(command, cwd=folder, check=True)


def lay_out(folder: Path) -> None:
    """What the wheel is built from."""
    for path in sorted(modules()):
        target = folder / "src" / path.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    (folder / "src" / "unrolled" / "py.typed").touch()
    shutil.copy2(ROOT / "packaging" / "runtime" / "pyproject.toml", folder)
    shutil.copy2(ROOT / "LICENSE", folder)
    shutil.copy2(ROOT / "docs" / "runtime.md", folder / "README.md")


def modules() -> set[Path]:
    """The runtime's files and all that they may load, early or late, but for what needs torch."""
    open_, found = set((PACKAGE / "runtime").rglob("*.py")), set[Path]()
    while open_:
        path = open_.pop()
        found.add(path)
        parents = {folder / "__init__.py" for folder in path.parents if folder.is_relative_to(PACKAGE)}
        open_ |= {other for other in {*imported(path, late=True), *parents} if not needs_torch(other)} - found
    return found


@cache
def needs_torch(path: Path) -> bool:
    """Whether loading a module loads torch."""
    open_, seen = {path}, set[Path]()
    while open_:
        path = open_.pop()
        seen.add(path)
        if any(name.partition(".")[0] == "torch" for node in statements(path, late=False) for name in names(node)):
            return True
        open_ |= {*imported(path, late=False)} - seen
    return False


@cache
def imported(path: Path, *, late: bool) -> frozenset[Path]:
    """Files of our own that a module imports when it is loaded, or `late`, in its functions."""
    loaded = {name for node in statements(path, late=late) for name in names(node) if name.startswith("unrolled")}
    places = [SOURCE.joinpath(*name.split(".")) for name in loaded]
    found = (file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
    return frozenset(file for file in found if file.exists())


def names(node: ast.stmt) -> list[str]:
    """All that a statement may load, `from a import b` as a and a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@cache
def statements(path: Path, *, late: bool) -> list[ast.stmt]:
    """The import statements of a module, but for those that only types need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    every = ast.walk(tree) if late else tree.body
    return [node for node in every if isinstance(node, ast.Import | ast.ImportFrom)]


if __name__ == "__main__":
    main(*sys.argv[1:])
