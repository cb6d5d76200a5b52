"""The public names of the room."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from unrolled import inspect


@pytest.mark.parametrize("name", inspect.__all__)
def test_every_public_name_is_there_and_no_submodule_hides_it(name: str) -> None:
    assert not isinstance(getattr(inspect, name), ModuleType)


def test_the_list_is_that_of_the_table() -> None:
    assert set(inspect._HOME) == set(inspect.__all__)
    assert dir(inspect) == sorted(inspect.__all__)
    with pytest.raises(AttributeError, match="no attribute 'transformer'"):
        inspect.transformer  # noqa: B018


def test_the_room_opens_without_torch() -> None:
    code = "import unrolled.inspect, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
