from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from unrolled import cells
from unrolled.cell import Sizes, to_text, trace
from unrolled.cli.main import main


def test_the_list_has_every_cell_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--input", "3", "--hidden", "5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["sizes"] == {"input": 3, "hidden": 5, "output": 5}
    found = {row["name"]: row["parameters"] for row in data["cells"]}
    assert tuple(found) == cells.names()
    assert found["lstm"] == 4 * (5 * 3 + 5 * 5 + 5)
    assert found["gru"] == 3 * (5 * 3 + 5 * 5 + 5) + 5  # the reset acts on u.n, which so has a bias of its own


def test_the_table_names_cells_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in cells.names())
    assert "128 inputs and 256 hidden units" in text


@pytest.mark.parametrize("name", cells.names())
def test_the_equations_are_those_of_the_trace(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", name]) == 0
    text = capsys.readouterr().out
    for equation in to_text(trace(cells.by_name(name))).splitlines():
        assert f"  {equation}\n" in text


def test_the_shapes_add_up_to_the_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "GRU", "--json", "--input", "2", "--hidden", "3"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["parameters"] == sum(prod(shape) for shape in data["shapes"].values())
    assert {k: tuple(v) for k, v in data["shapes"].items()} == trace(cells.GRU()).parameters(Sizes(2, 3, 3))
    assert data["equations"] and data["latex"]


def test_an_unknown_cell_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "gruu"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "'gru'" in captured.err and captured.err.count("\n") == 1


def test_a_width_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--hidden", "0"]) == 1
    assert "at least 1" in capsys.readouterr().err


OWN = """
from dataclasses import dataclass
from unrolled.cell import Cell, state, tanh

@dataclass(frozen=True)
class Mine(Cell):
    gates = ("n",)
    state = state(h="output")

    def update(self, x, u, s, p):
        h = tanh(x.n + 0.5 * u.n)
        return h, self.next(h=h)
"""


def test_a_cell_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    assert main(["cells", f"{tmp_path / 'own.py'}:Mine"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Mine: a cell of your own.\n")
    assert "U_n h[t-1]" in text
    assert main(["cells", f"{tmp_path / 'own.py'}:Yours"]) == 1
    assert "the file has no cell of that name; its cells are: Mine" in capsys.readouterr().err
