"""The public names: all there, none besides, each loaded only when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import unrolled


@pytest.mark.parametrize("name", unrolled.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(unrolled, name) is not None
    assert name in dir(unrolled)


def test_what_the_type_checker_sees_is_what_there_is() -> None:
    tree = ast.parse(Path(unrolled.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(unrolled.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'recurrent'"):
        unrolled.recurrent  # noqa: B018 - the look itself is tested


def test_import_alone_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, unrolled; print(sorted({'torch', 'numpy', 'rich', 'cyclopts'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
