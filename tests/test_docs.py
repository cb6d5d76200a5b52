"""What the documents say is so: their commands parse, their links lead somewhere, every cell has its page."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from unrolled import cells
from unrolled.cell import to_latex, trace
from unrolled.cli.main import build_app

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/tasks/*.md")])


def commands() -> list[str]:
    """Every `unrolled ...` in a code block; wide gaps stand between two commands on one line."""
    found = []
    for path in DOCUMENTS:
        for block in re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.splitlines():
                parts = re.split(r"\s{3,}", line.split("  #")[0].removeprefix("$ ").strip())
                found += [part for part in parts if part.startswith("unrolled ")]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_documents_parses(command: str) -> None:
    build_app().parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_the_documents_leads_to_a_file(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert target.startswith("http") or (path.parent / target).exists(), target


def test_the_documents_have_commands_at_all() -> None:
    assert len(commands()) > 12


@pytest.mark.parametrize("name", cells.names())
def test_the_page_of_a_cell_has_the_equations_of_its_trace(name: str, pages: ModuleType) -> None:
    cell = cells.by_name(name)
    assert to_latex(trace(cell)) in pages.cell_page(name, cell)


def test_old_pages_go_and_equal_ones_stay(pages: ModuleType, tmp_path: Path) -> None:
    pages.write(tmp_path)
    before = (tmp_path / "api.md").stat().st_mtime_ns
    (tmp_path / "cells" / "gone.md").write_text("old", encoding="utf-8")
    pages.write(tmp_path)
    assert not (tmp_path / "cells" / "gone.md").exists()
    assert (tmp_path / "api.md").stat().st_mtime_ns == before
    assert "## Recurrent" in (tmp_path / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
