from __future__ import annotations

from pathlib import Path

import pytest

from unrolled import cells
from unrolled.cell import trace
from unrolled.errors import CellError
from unrolled.tasks.cells import load_cell

SOURCE = """
from dataclasses import dataclass
from unrolled.cell import Cell, sigmoid, state, tanh

@dataclass(frozen=True)
class Leaky(Cell):
    slope: float = 0.25
    gates = ("n", "z")
    state = state(h="output")

    def update(self, x, u, s, p):
        z = sigmoid(x.z + u.z)
        h = z * s.h + (1 - z) * self.slope * tanh(x.n + u.n)
        return h, self.next(h=h)

@dataclass(frozen=True)
class Needy(Leaky):
    width: int = None

    def __post_init__(self):
        if self.width is None:
            raise TypeError("width is needed")

ready = Leaky(0.5)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


def test_by_name_by_object_and_from_a_file(file: Path) -> None:
    assert load_cell("gru") == trace(cells.GRU())
    assert load_cell(cells.GRU()) == load_cell(trace(cells.GRU()))
    assert load_cell(f"{file}:Leaky").gates == ("n", "z")
    assert load_cell(f"{file}:ready") != load_cell(f"{file}:Leaky")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("gruu", "there is no cell 'gruu'"),
        ("mine.py", "names a file but no cell in it; write mine.py:NAME"),
        ("nowhere.py:Leaky", "there is no such Python file"),
        ("{}:Lazy", "the file has no cell of that name; its cells are: Leaky, Needy, ready"),
        ("{}:Needy", r"needs values for its fields \(width is needed\)"),
    ],
)
def test_refusals(file: Path, choice: str, words: str) -> None:
    with pytest.raises(CellError, match=words):
        load_cell(choice.format(file))


def test_a_file_that_fails(file: Path) -> None:
    file.write_text("1 / 0")
    with pytest.raises(CellError, match="running the file failed with ZeroDivisionError: division by zero"):
        load_cell(f"{file}:Leaky")
