from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from batteries.random_case import assert_close
from unrolled import cells
from unrolled.engine import Tokens, scan
from unrolled.engine.cpu import operation
from unrolled.layers import Recurrent, Regularisation, Structure

ROWS, FEATURES, BATCH, STEPS = 5, 3, 4, 7
LENGTHS = torch.tensor([3, 7, 0, 5])


@pytest.fixture(autouse=True)
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "FEWEST_ROWS", 1)


def case(cell: str, hidden: int = 17, rows: int = ROWS) -> tuple[Recurrent, Tokens]:
    layer = Recurrent(cells.by_name(cell), FEATURES, hidden).double()
    table = torch.randn(rows, FEATURES, dtype=torch.float64, requires_grad=True)
    return layer, Tokens(torch.randint(ROWS, (BATCH, STEPS)) * (rows // ROWS), table)


def everything(layer: Recurrent, xs: Tensor | Tokens, table: Tensor, **options: Any) -> list[Tensor]:
    """Outputs, last state and every gradient, that of the table among them."""
    own = layer.stack[0].forwards
    torch.manual_seed(1)
    state = own.program.state_type(*(torch.randn_like(s).requires_grad_() for s in layer.initial_state(BATCH)[0][0]))
    outputs, last = scan(own.program, own.weights(), xs, state, **options)
    found = [outputs, *last]
    needed = [table, *state, *layer.parameters()]
    return found + list(torch.autograd.grad(found, needed, [torch.randn(v.shape, dtype=v.dtype) for v in found]))


@pytest.mark.parametrize("options", [{}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "reverse": True}], ids=str)
@pytest.mark.parametrize(("cell", "rows"), [*((name, ROWS) for name in cells.names()), ("gru", 10 * ROWS)])
def test_rows_of_a_table_equal_the_vectors_looked_up(
    cell: str, rows: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, tokens = case(cell, rows=rows)
    wanted = everything(layer, tokens.dense(), tokens.table, engine="reference", **options)
    # W times what was looked up would be made here
    monkeypatch.setattr(operation, "plan_input", lambda plan, weights, xs: xs if len(xs) <= ROWS else 1 / 0)
    assert_close(everything(layer, tokens, tokens.table, engine="compiled", **options), wanted)
    with torch.no_grad():
        own = layer.stack[0].forwards
        outputs, _ = scan(own.program, own.weights(), tokens, engine="compiled", **options)
        again, _ = scan(own.program, own.weights(), tokens.dense(), engine="reference", **options)
    assert_close([outputs], [again])


def test_a_second_derivative_reaches_the_table() -> None:
    layer, tokens = case("gru", 2)
    own = layer.stack[0].forwards

    def outputs(table: Tensor, W: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"layers.0.forwards.W": W}, (Tokens(tokens.ids, table),))[0]

    assert torch.autograd.gradgradcheck(outputs, (tokens.table, own.W.detach().requires_grad_()))


def test_a_large_table_is_looked_up() -> None:
    layer, tokens = case("lstm")
    large = Tokens(tokens.ids[:, :2], tokens.table)
    own = layer.stack[0].forwards
    outputs, _ = scan(own.program, own.weights(), large)
    assert_close([outputs], [scan(own.program, own.weights(), large.dense())[0]])


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 2, "bidirectional": True},
        {"structure": Structure(residual=True)},
        {"regularisation": Regularisation(input_dropout=0.5)},
    ],
    ids=["both directions", "residual", "input dropout"],
)
def test_a_layer_reads_tokens_as_it_reads_vectors(options: dict[str, Any]) -> None:
    layer = Recurrent(cells.LSTM(), FEATURES, FEATURES, **options).double()
    tokens = case("lstm")[1]
    for lengths in (None, LENGTHS):
        torch.manual_seed(3)
        found, last = layer(tokens, lengths=lengths)
        torch.manual_seed(3)
        wanted, end = layer(tokens.dense(), lengths=lengths)
        assert_close([found, *last[0][0]], [wanted, *end[0][0]])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_other_engines_look_tokens_up(engine: str) -> None:
    layer, tokens = case("lstm")
    layer.engine = engine
    wanted, _ = layer(tokens.dense())
    assert_close([layer(tokens)[0]], [wanted])
