"""The wheels hold what runs need, and their extras ask for the same libraries."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "unrolled"


def project(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def test_every_file_that_is_no_module_goes_into_the_wheel() -> None:
    patterns = project("pyproject.toml")["tool"]["setuptools"]["package-data"]["unrolled"]
    taken = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    others = {p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts}
    assert others == taken


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_extras_of_the_runtime_are_those_of_the_whole() -> None:
    whole = project("pyproject.toml")["project"]["optional-dependencies"]
    small = project("packaging/runtime/pyproject.toml")["project"]["optional-dependencies"]
    assert small and all(whole[name] == needed for name, needed in small.items())


def test_the_readme_names_every_extra() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = project("pyproject.toml")["project"]["optional-dependencies"].keys() - {"all", "dev", "docs", "peers"}
    assert not [name for name in extras if f"`{name}`" not in readme]
