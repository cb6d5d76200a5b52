from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from batteries.geometry import geometry_faults

ROOT = Path(__file__).parent.parent.parent
NAMES = sorted(path.stem for path in (ROOT / "docs" / "pictures").glob("*.svg"))


@pytest.fixture(scope="module")
def drawn():
    spec = importlib.util.spec_from_file_location("draw_manual", ROOT / "tools" / "draw_manual.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pictures()


def test_the_manual_shows_what_there_is(drawn) -> None:
    pages = (ROOT / "README.md", ROOT / "docs" / "drawing.md")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert sorted(drawn) == NAMES
    assert all(f"pictures/{name}.svg)" in text for name in drawn)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_the_manual_is_what_the_code_draws(name: str, drawn) -> None:
    shown = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert shown == drawn[name].svg(), "the drawing has changed: run python tools/draw_manual.py and look at it"
    assert geometry_faults(drawn[name]) == []
