from __future__ import annotations

from typing import Any

import pytest
import torch

from batteries import ENGINE_CASES, Case, check_engine
from batteries.random_case import assert_close, random_case
from unrolled import cells
from unrolled.cell import Cell, sigmoid, state, tanh
from unrolled.engine import scan

FUSED = ("rnn", "rnn-relu", "lstm", "lstm-projected", "gru")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", ENGINE_CASES, ids=str)
@pytest.mark.parametrize("name", FUSED)
def test_native_equals_reference(name: str, case: Case, dtype: torch.dtype) -> None:
    check_engine("native", cells.by_name(name), case, dtype)


class Renamed(Cell):
    """A GRU under other names, in another order, with its sums turned round."""

    gates = ("new", "keep", "reset")
    state = state(memory="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        keep = sigmoid(u.keep + x.keep)
        reset = sigmoid(x.reset + u.reset)
        new = tanh(u.new * reset + x.new)
        memory = keep * s.memory - (keep - 1) * new if self.odd else s.memory * keep + new * (1 - keep)
        return memory, self.next(memory=memory)

    odd = False


class OddlyWritten(Renamed):
    odd = True


def test_users_own_copy_is_recognised() -> None:
    check_engine("native", Renamed(), Case(3, 5, 4, 8, ragged=True))


def test_unknown_algebra_is_not_taken_for_it() -> None:
    from unrolled.engine import explain

    case = random_case(OddlyWritten())
    told = explain(case.cell, case.weights, case.xs)
    assert told.engine != "native"
    assert "none of the cells that torch has fused" in str(told)


def test_missing_biases_count_as_zero() -> None:
    case = random_case(cells.GRU())
    bare = {k: v for k, v in case.named.items() if k not in ("b", "c")}
    zero = {k: torch.zeros_like(v) if k in ("b", "c") else v for k, v in case.named.items()}
    from unrolled.engine import Weights

    for engine in ("native", "reference"):
        got = scan(case.cell, Weights.from_dict(bare), case.xs, engine=engine)
        want = scan(case.cell, Weights.from_dict(zero), case.xs, engine=engine)
        assert_close([got[0], *got[1]], [want[0], *want[1]])


def test_gradients_in_evaluation_mode() -> None:
    case = random_case(cells.LSTM())
    outputs, _ = scan(case.cell, case.weights, case.xs, engine="native")
    (gradient,) = torch.autograd.grad(outputs.sum(), case.xs)
    assert gradient.abs().sum() > 0
