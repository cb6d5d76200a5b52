"""The page that explains recurrent networks: its lines run, print what it shows and draw its pictures."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from unrolled.cli.main import build_app, main

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "what-is-an-rnn.md"
PICTURES = ROOT / "docs" / "pictures" / "rnn"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def words_and_numbers(text: str) -> tuple[list[str], list[str]]:
    """Columns may shift by a digit, so gaps do not count."""
    return NUMBER.sub("#", text).split(), NUMBER.findall(text)


def agree(printed: str, shown: str) -> bool:
    """Words and whole numbers are the same; others differ by rounding at most."""
    (words, numbers), (other_words, others) = words_and_numbers(printed), words_and_numbers(shown)
    same = all(
        a == b if a.isdigit() and b.isdigit() else float(a) == pytest.approx(float(b), rel=0.05)
        for a, b in zip(numbers, others, strict=False)
    )
    return words == other_words and len(numbers) == len(others) and same


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_rnn_page", ROOT / "tools" / "draw_rnn_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up while it is made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(page: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of pictures and what each block printed."""
    pytest.importorskip("matplotlib", reason="figures of the page need matplotlib")
    folder = tmp_path_factory.mktemp("page")
    return folder, page.run(folder)


def test_the_lines_of_the_page_print_what_it_shows(page: ModuleType, drawn: tuple[Path, list[str]]) -> None:
    for block, printed in zip(page.blocks(), drawn[1], strict=True):
        assert agree(printed, block.shown), f"{PAGE.name}:{block.line} prints\n{printed}"


def test_no_line_of_python_or_output_is_left_out(page: ModuleType) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(page.blocks()) == text.count("```python")
    assert sum(bool(block.shown) for block in page.blocks()) == text.count("```text") > 6


def test_the_pictures_are_those_that_the_page_draws(drawn: tuple[Path, list[str]]) -> None:
    kept = {path.name for path in PICTURES.iterdir()}
    assert kept == {path.name for path in drawn[0].iterdir()}
    assert kept == set(re.findall(r"\]\(pictures/rnn/(.*?)\)", PAGE.read_text(encoding="utf-8")))
    for picture in PICTURES.glob("*.svg"):
        now = (drawn[0] / picture.name).read_text(encoding="utf-8")
        assert picture.read_text(encoding="utf-8") == now, "run python tools/draw_rnn_page.py and look at it"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_equations_of_the_page_are_printed(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = re.search(rf"```console\n\$ unrolled (cells {cell} .*)\n((?:.*\n)*?)```", PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert main(shlex.split(found[1])) == 0
    assert capsys.readouterr().out == found[2]


def test_each_of_the_four_shapes_has_a_command_that_parses() -> None:
    commands = re.findall(r"^\|.*`unrolled (.*)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["classify", "tag", "translate", "caption"]
    for command in commands:
        build_app().parse_args(shlex.split(command), exit_on_error=False, print_error=False)


def test_rounding_is_forgiven_and_nothing_else() -> None:
    assert agree("from 14 steps, 0.50", "from  14 steps, 0.51")
    assert not agree("from 14 steps, 0.50", "from 14 steps, 0.60")
    assert not agree("from 14 steps", "from 15 steps")
    assert not agree("healthy", "vanishing")
    assert not agree("1 2", "1")
