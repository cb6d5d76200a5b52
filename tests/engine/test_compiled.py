from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from batteries import ENGINE_CASES, Case, check_engine
from batteries.random_case import assert_close, random_case
from unrolled import cells
from unrolled.cell import (
    Cell,
    ProgramCell,
    Sizes,
    exp,
    greater,
    mean,
    recurrent_dropout,
    sigmoid,
    sqrt,
    state,
    tanh,
    trace,
    vector,
    without_noise,
    zoneout,
)
from unrolled.engine import step
from unrolled.engine.cpu import call, room, stepper
from unrolled.engine.cpu.compiler import compiled
from unrolled.engine.cpu.recipe import recipe
from unrolled.layers import Recurrent, Regularisation
from unrolled.layers.state import map_state


@dataclass(frozen=True)
class ReadsGates(Cell):
    """The backward pass reads W x of one gate itself, and another gate is what a product multiplies."""

    gates = ("z", "n", "o")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = tanh(x.z * (x.n + u.n) + u("z", x.o) + s.h)
        return h, self.next(h=h)


CELLS: dict[str, Cell] = {
    **{name: cells.by_name(name) for name in cells.names()},
    "reads-gates": ReadsGates(),
    "slstm-3-heads": cells.SLSTM(heads=3),
    "lstm-zoneout": ProgramCell(zoneout(trace(cells.LSTM()), {"h": 0.1, "c": 0.4})),
    "gru-before-dropout": ProgramCell(recurrent_dropout(trace(cells.GRUResetBefore()), 0.3)),
    "projected-dropout-a-step": ProgramCell(recurrent_dropout(trace(cells.ProjectedLSTM()), 0.3, frequency="step")),
}


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(*shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.full(shape, float("nan"), dtype=dtype)

    monkeypatch.setattr(room, "empty", poisoned)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", ENGINE_CASES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_compiled_equals_reference(name: str, case: Case, dtype: torch.dtype) -> None:
    check_engine("compiled", CELLS[name], case, dtype)


@pytest.mark.parametrize(("batch", "steps"), [(1, 3), (2, 5), (5, 4), (1, 20)])
@pytest.mark.parametrize("name", CELLS)
def test_inference_equals_reference(name: str, batch: int, steps: int) -> None:
    for hidden in (5, 16):
        case = random_case(CELLS[name], batch=batch, steps=steps, hidden=hidden)
        wanted, end = case.scan(engine="reference")
        with torch.no_grad():
            outputs, last = case.scan(engine="compiled")
        assert_close([outputs, *last], [wanted, *end])


@pytest.mark.parametrize("case", [Case(5, 4, 3, 17), Case(7, 6, 4, 33, 20, ragged=True, reverse=True)], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_the_input_multiplied_in_its_step(name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "MANY_ROWS", 1)
    found = random_case(
        CELLS[name], batch=case.batch, steps=case.steps, inputs=case.inputs, hidden=case.hidden, output=case.output
    )
    lengths = torch.tensor([4, 6, 0, 1, 5, 2, 2]) if case.ragged else None
    options = {"lengths": lengths, "reverse": case.reverse}
    wanted, end = found.scan(engine="reference", **options)
    with torch.no_grad():
        outputs, last = found.scan(engine="compiled", **options)
    assert_close([outputs, *last], [wanted, *end])
    check_engine("compiled", CELLS[name], case)
    code = compiled(without_noise(found.program, found.program.noise), "float64")
    assert (code.joined is None) == ("layernorm" in name)
    # the last three read W x of a gate itself on the way back
    assert (code.joined_train is None) == ("layernorm" in name or name in ("reads-gates", "mingru", "minlstm"))


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "jordan", "lstm-peephole", "mingru", "slstm", "lstm-projected", "reads-gates"]
)
def test_steps_laid_out_beforehand_equal_the_reference(name: str) -> None:
    case = random_case(CELLS[name], batch=2, steps=6, hidden=16, output=8)
    wanted, end = case.scan(engine="reference")
    now, parts, weights = case.state, [], case.weights
    with torch.no_grad():
        for t in range(6):
            y, now = step(case.cell, weights, case.xs[:, t], now)
            parts.append(y)
        assert stepper.find(case.program, weights, case.xs[:, 0], now) is not None
    assert_close([torch.stack(parts, 1), *now], [wanted, *end])


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm-layernorm", "lstm-peephole"])
def test_steps_of_layers_laid_out_beforehand(name: str) -> None:
    torch.manual_seed(3)
    layer = Recurrent(cells.by_name(name), 5, 16, layers=2, regularisation=Regularisation(dropout=0.5))
    layer = layer.double().eval()
    xs = torch.randn(2, 7, 6, dtype=torch.float64)[:, :, :5]
    wanted, end = layer(xs)
    state, parts = layer.initial_state(2), []
    with torch.no_grad():
        for t in range(7):
            y, state = layer.step(xs[:, t], state)
            # a state that lies in a larger tensor, as one cut from a batch does
            state = map_state(lambda s: torch.cat((s, s), 1)[:, :16], state)
            parts.append(y)
        assert layer._ready_step(xs[:, 0], layer.initial_state(2)) is not None
        assert layer._ready_step(xs[:1, 0], layer.initial_state(1)) is None
    assert layer._ready_step(xs[:, 0], layer.initial_state(2)) is None
    assert_close([torch.stack(parts, 1), *flat(state)], [wanted, *flat(end)])
    with torch.no_grad():
        assert layer.train()._ready_step(xs[:, 0], layer.initial_state(2)) is None


def flat(state: Any) -> list[torch.Tensor]:
    return [value for layer in state for direction in layer for value in direction]


def test_changed_parameters_are_seen_at_once() -> None:
    case = random_case(cells.GRU(), batch=1, hidden=16)
    weights = case.weights
    with torch.no_grad():
        step(case.cell, weights, case.xs[:, 0], case.state)
        first, _ = step(case.cell, weights, case.xs[:, 0], case.state)
        again, _ = step(case.cell, weights, case.xs[:, 0], case.state)
        assert torch.equal(first, again)
        for value in case.named.values():
            value.mul_(1.5)
        changed, _ = step(case.cell, weights, case.xs[:, 0], case.state)
        wanted, _ = step(case.cell, weights, case.xs[:, 0], case.state, engine="reference")
    assert_close([changed], [wanted])
    assert not torch.equal(changed, first)


class Forgetful(Cell):
    """No state goes on, one gate has no gradient, a constant is a next state, and one gate is never read."""

    gates = ("a", "b", "unread")
    state = state(h="output", k="hidden")
    vectors = {"idle": vector(0.5)}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = tanh(x.a) * greater(x.b, 0.0)
        return h, self.next(h=h, k=1.0)


class Deep(Cell):
    """Two products in a row, a mean of a state, a further square matrix, and an output that is no state."""

    gates = ("a", "b")
    state = state(h="output", m="hidden")
    products = {"q": ("hidden", "hidden")}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a = sigmoid(x.a + u.a)
        b = tanh(x.b + u("b", a * s.h) + mean(s.m))
        m = 0.5 * s.m + u("q", tanh(b))
        return exp(-m * m) * b, self.next(h=b + 0.1 * m, m=m)


class Dividing(Cell):
    """0 / 0 where everything is 0, as it is in the lanes past the last unit: that must not get into any sum."""

    gates = ("h",)
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = tanh(x.h + u.h) / (sqrt(x.h * x.h + s.h * s.h) / 0.5)
        return h, self.next(h=tanh(h))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", ENGINE_CASES, ids=str)
@pytest.mark.parametrize("cell", [Forgetful(), Deep(), Dividing()], ids=lambda c: type(c).__name__)
def test_odd_cells(cell: Cell, case: Case, dtype: torch.dtype) -> None:
    check_engine("compiled", cell, case, dtype)


class Headed(Cell):
    """Two heads, products of two operands, one with a bias, and a full matrix beside them."""

    gates = ("r", "n")
    state = state(h="output")
    heads = 2
    products = {"q": ("hidden", "hidden")}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        r = sigmoid(x.r + u.r)
        h = tanh(x.n * u("n", r * s.h)) + 0.1 * u("q", r)
        return h, self.next(h=h)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("hidden", [16, 32, 64])
@pytest.mark.parametrize("cell", [cells.SLSTM(heads=2), Headed()], ids=lambda c: type(c).__name__)
def test_heads_that_fill_whole_panels(cell: Cell, hidden: int, dtype: torch.dtype) -> None:
    check_engine("compiled", cell, Case(5, 4, 3, hidden, ragged=True, reverse=True), dtype)


@pytest.mark.parametrize("cell", [cells.SLSTM(heads=2), Headed()], ids=lambda c: type(c).__name__)
def test_what_lies_outside_the_heads_is_not_packed(cell: Cell) -> None:
    code, sizes = compiled(trace(cell), "float32"), Sizes(3, 128, 128)
    blocks = len(trace(cell).recurrent) * 128 * 64 + len(trace(cell).products) * 128 * 128
    assert [recipe(code, step, sizes).elements for step in (code.train, code.back)] == [blocks, blocks]
    assert recipe(code, code.train, Sizes(3, 126, 126)).elements > 1.4 * blocks
