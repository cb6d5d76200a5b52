from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unrolled import cells
from unrolled.cell import Cell, Initial, Program, Sizes, recurrent_dropout, sigmoid, state, tanh, trace, zoneout
from unrolled.errors import ArgumentError, CellError


def made(update: Callable[..., Any], **attributes: Any) -> Cell:
    """A one-gate cell whose update is the given function of (x, u, s, p)."""

    def method(self: Cell, x: Any, u: Any, s: Any, p: Any) -> Any:
        value = update(x, u, s, p)
        return value if isinstance(value, tuple) else (value, self.next(h=value))

    body = {"gates": ("h",), "state": state(h="output"), "update": method} | attributes
    return type("Own", (Cell,), body)()


@pytest.mark.parametrize(
    ("update", "says"),
    [
        (lambda x, u, s, p: torch.cumsum(x.h, -1), "cumsum is not an operation"),
        (lambda x, u, s, p: x.h @ s.h, "matrix product"),
        (lambda x, u, s, p: x.h if x.h > 0 else s.h, "branches on the value"),
        (lambda x, u, s, p: math.tanh(x.h), "Python number"),
        (lambda x, u, s, p: np.fft.fft(x.h), r"update fails on symbols \(IndexError"),
        (lambda x, u, s, p: np.arctan2(x.h, s.h), "arctan2 is not an operation"),
        (lambda x, u, s, p: tanh(x.q), "reads x.q, but the cell declares h"),
        (lambda x, u, s, p: tanh(x.h + s.c), "reads s.c"),
        (lambda x, u, s, p: tanh(x.h + p.v), "reads p.v, but the cell declares none"),
        (lambda x, u, s, p: tanh(x.h + u("q", s.h)), "multiplies by 'q'"),
        (lambda x, u, s, p: u.h + u("h", tanh(x.h)), "multiplies two different values"),
        (lambda x, u, s, p: tanh(x.h + torch.ones(3)), "was given a Tensor"),
        (lambda x, u, s, p: x.h**-1, "a power of -1"),
        (lambda x, u, s, p: x.h + math.inf, "constant inf"),
        (lambda x, u, s, p: torch.clamp(x.h, low_end=1), "update fails on symbols"),
        (lambda x, u, s, p: (x.h, {"h": x.h}), "must return its output and self.next"),
        (lambda x, u, s, p: x.h.cumsum(), "cumsum is not an operation"),
    ],
)
def test_update_that_cannot_be_traced(update: Callable[..., Any], says: str) -> None:
    with pytest.raises(CellError, match=says):
        trace(made(update))


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"gates": ()}, "declares no gates"),
        ({"state": {}}, "declares no state"),
        ({"gates": ("h", "h")}, "twice"),
        ({"gates": ("_h",)}, "plain Python names"),
        ({"products": {"q": ("hidden", "wide")}}, "size 'wide'"),
    ],
)
def test_declaration_that_cannot_be_used(attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(CellError, match=says):
        trace(made(lambda x, u, s, p: tanh(x.h + u.h), **attributes))


def test_state_and_next_name_what_is_wrong() -> None:
    with pytest.raises(CellError, match="size 'big'"):
        state(h="big")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(CellError, match="returns the states m, but the cell declares h"):
        trace(made(lambda x, u, s, p: (x.h, cells.GRU().next(m=x.h)), state=state(h="output")))


def test_widths_that_do_not_meet() -> None:
    mixed = made(lambda x, u, s, p: u("p", x.h) + x.h, products={"p": ("hidden", "output")})
    with pytest.raises(CellError, match="combines a hidden with an output value"):
        trace(mixed)
    with pytest.raises(CellError, match=r"7 hidden units and 5 outputs"):
        trace(cells.GRU()).parameters(Sizes(3, 7, 5))
    with pytest.raises(CellError, match="4 heads, which must divide"):
        trace(cells.SLSTM(heads=4)).parameters(Sizes(3, 6, 6))
    with pytest.raises(ArgumentError, match="at least 1"):
        Sizes(3, 0, 1)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(CellError, match="did you mean 'lstm'"):
        cells.by_name("lsmt")
    with pytest.raises(CellError, match="activation 'step'"):
        cells.Elman("step")
    with pytest.raises(CellError, match=r"leak 1\.5"):
        cells.LeakyIntegrator(1.5)


def damaged(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(trace(cells.GRU()).to_json()) | changes


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("nonsense", "damaged"),
        ({}, "damaged"),
        (damaged(format=99), "format 99"),
        (damaged(output=99), "does not compute"),
        (damaged(output="0"), "whole numbers"),
        (damaged(next=[]), "a next value for every state"),
        (damaged(heads=0), "at least 1 head"),
        (damaged(nodes=[["__import__", [], "os", None]], output=0, next=[0]), "not in the operation table"),
        (damaged(nodes=[["tanh", [0], None, None]], output=0, next=[0]), "not computed before"),
        (damaged(nodes=[["gate", [], "q", None]], output=0, next=[0]), "not declared"),
        (damaged(nodes=[["constant", [], None, "1"]], output=0, next=[0]), "without a number"),
        (damaged(nodes=[1, 2]), "damaged"),
        (damaged(state={"h": "huge"}), "size 'huge'"),
    ],
)
def test_program_from_a_damaged_file(data: Any, says: str) -> None:
    with pytest.raises(CellError, match=says):
        Program.from_json(data)


def test_rates_and_states_of_transformations() -> None:
    program = trace(cells.LSTM())
    with pytest.raises(ArgumentError, match=r"zoneout rate is 1\.0"):
        zoneout(program, {"h": 1.0})
    with pytest.raises(ArgumentError, match="state 'm'"):
        zoneout(program, {"m": 0.1})
    with pytest.raises(ArgumentError, match=r"recurrent dropout rate is -0\.1"):
        recurrent_dropout(program, -0.1)
    with pytest.raises(ArgumentError, match="chrono is 2"):
        Initial(chrono=2)


def test_profiler_in_use_only_costs_the_names() -> None:
    import sys

    cell = made(lambda x, u, s, p: sigmoid(x.h + u.h))
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        program = trace(cell)
    finally:
        sys.setprofile(None)
    assert program.gate_values == {"h": program.output}
