from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unrolled.bench import recurrent
from unrolled.bench.contestants import LIBRARIES, Contestant, Library
from unrolled.bench.problem import Problem, Shape
from unrolled.bench.recurrent import compare
from unrolled.bench.timing import Pace, Times
from unrolled.cells import by_name
from unrolled.errors import EngineError

TINY = (Shape(steps=5, batch=3, input=4, hidden=7),)
TWICE = Pace(rounds=2)


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace a library's forward pass by one whose answer `change` has spoilt."""

    def replace_in(name: str, change: Callable[[Any], Any]) -> None:
        right = LIBRARIES[name]

        def build(problem: Problem) -> Contestant:
            found = right.build(problem)
            return replace(found, forward=lambda: change(found.forward()))

        monkeypatch.setitem(LIBRARIES, name, Library(right.refuse, build))

    return replace_in


def test_every_cell_is_timed_forward_and_in_training() -> None:
    rows = list(compare(TINY, pace=TWICE))
    assert [(row.cell, row.phase) for row in rows] == [
        (cell, phase) for cell in ("lstm", "gru", "rnn") for phase in ("forward", "training")
    ]
    for row in rows:
        assert 0 <= row.difference < recurrent.TOLERANCE
        assert set(row.times) == {"torch.nn", "compiled", "native", "reference"}
        assert not row.absent


def test_why_a_library_has_no_time() -> None:
    rows = list(compare(TINY, {"mgu": by_name("mgu")}, pace=TWICE, phases=("training",)))
    assert [set(row.times) for row in rows] == [{"reference", "compiled"}]
    assert rows[0].absent["torch.nn"] == "it has no layer with the equations of MinimalGated"


def test_ratio_and_speed() -> None:
    row = next(compare(TINY, pace=TWICE))
    times = {"torch.nn": Times((0.5, 0.4)), "compiled": Times((0.1, 0.2))}
    row = replace(row, times=times, flops=1000)
    assert row.ratio("compiled") == 1
    assert row.ratio("torch.nn") == pytest.approx(4)
    assert row.speed("compiled") == pytest.approx(1e4)


@pytest.mark.parametrize("library", ["native", "torch.nn", "compiled"])
def test_what_is_not_equal_is_not_timed(
    changed: Callable[..., None], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(library, lambda answer: (answer[0] * 1.01,))
    monkeypatch.setattr(recurrent, "interleave", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(EngineError, match=f"lstm at T=5 B=3 F=4 H=7, forward: {library} and the reference differ by"):
        list(compare(TINY))


def test_not_a_number_is_not_equal(changed: Callable[..., None]) -> None:
    changed("torch.nn", lambda answer: (answer[0] * np.nan,))
    with pytest.raises(EngineError, match="differ by nan"):
        list(compare(TINY))


def test_a_library_that_fails_is_left_out(changed: Callable[..., None]) -> None:
    def fails(_: object) -> None:
        raise EngineError("there is no linker.")

    changed("torch.nn", fails)
    row = next(compare(TINY, pace=TWICE))
    assert row.absent == {"torch.nn": "there is no linker."}
    assert "torch.nn" not in row.times
    changed("compiled", fails)
    with pytest.raises(EngineError, match="no linker"):
        next(compare(TINY, pace=TWICE))


def test_who_compiles_for_long_is_left_out_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "native", replace(LIBRARIES["native"], compiles=True))
    two, impatient = TINY * 2, Pace(rounds=1, patience=1e-9)
    rows = list(compare(two, {"gru": by_name("gru")}, pace=impatient))
    assert not rows[0].absent
    assert set(rows[-1].absent) == {"native"}
    assert "it has compiled for 0 s already" in rows[-1].absent["native"]
    rows = list(compare(two, {"gru": by_name("gru")}, pace=replace(impatient, patience=100.0)))
    assert not rows[-1].absent
