from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import unrolled


@pytest.mark.parametrize("name", unrolled.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(unrolled, name) is not None


def test_the_list_is_complete_sorted_and_what_dir_shows() -> None:
    assert len(set(unrolled.__all__)) == len(unrolled.__all__)
    assert dir(unrolled) == sorted(unrolled.__all__)
    assert set(unrolled._HOME) | set(unrolled._MODULES) | {"__version__"} == set(unrolled.__all__)


@pytest.mark.parametrize("name", sorted(unrolled._HOME))
def test_a_name_is_public_where_it_lives_too(name: str) -> None:
    home = importlib.import_module(unrolled._HOME[name])
    assert name in home.__all__


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'Transformer'"):
        unrolled.Transformer  # noqa: B018


def test_import_is_light() -> None:
    code = (
        "import time; start = time.perf_counter(); import unrolled; taken = time.perf_counter() - start; import sys\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'matplotlib', 'pyarrow', 'tokenizers'} & set(sys.modules)\n"
        "print(sorted(heavy)); print(taken)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert found[0] == "[]"
    assert float(found[1]) < 0.3
