from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.cell import Cell
from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent, Regularisation, Structure, unroll

BATCH, STEPS, FEATURES, HIDDEN = 3, 5, 4, 4


def build(cell: Cell, bidirectional: bool = False, **rates: Any) -> Recurrent:
    torch.manual_seed(8)
    return Recurrent(
        cell,
        FEATURES,
        HIDDEN,
        layers=2,
        bidirectional=bidirectional,
        structure=Structure(residual=True, learned_start=True),
        regularisation=Regularisation(**rates),
    ).double()


def results(module: torch.nn.Module, x: Tensor, **options: Any) -> list[Tensor]:
    """Outputs, states and all gradients."""
    torch.manual_seed(1)
    outputs, state = module(x, **options)
    values = [outputs, *(s for layer in state for one in layer for s in one)]
    loss = sum((v.sin() * (1 + i)).sum() for i, v in enumerate(values))
    return [*values, *torch.autograd.grad(loss, [x, *module.parameters()])]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, [2, 0, 5]])
@pytest.mark.parametrize("cell", [cells.LSTM(), cells.GRU(), cells.PeepholeLSTM(), cells.MinGRU()])
def test_it_computes_what_the_layer_computes(cell: Cell, lengths: list[int] | None, bidirectional: bool) -> None:
    layer = build(cell, bidirectional)
    x = torch.randn(BATCH, STEPS, FEATURES, dtype=torch.float64, requires_grad=True)
    found = results(unroll(layer, STEPS), x, lengths=lengths)
    torch.testing.assert_close(found, results(layer, x, lengths=lengths), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_draws_the_layers_masks(bidirectional: bool) -> None:
    layer = build(cells.LSTM(), bidirectional, dropout=0.3, zoneout=0.2, recurrent_dropout=0.2, weight_drop=0.3)
    x = torch.randn(BATCH, STEPS, FEATURES, dtype=torch.float64, requires_grad=True)
    found = results(unroll(layer, STEPS), x)
    torch.testing.assert_close(found, results(layer, x), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(found[0], results(layer.eval(), x)[0])


def test_one_sub_module_a_step_and_one_set_of_weights() -> None:
    layer = build(cells.GRU())
    network = unroll(layer, STEPS)
    assert len(network.steps) == STEPS
    assert {id(p) for p in network.parameters()} == {id(p) for p in layer.parameters()}
    assert all({id(p) for p in s.parameters()} == {id(p) for p in layer.parameters()} for s in network.steps)
    calls: list[int] = []
    for t, step in enumerate(network.steps):
        step.register_forward_hook(lambda *_, t=t: calls.append(t))
    network(torch.randn(1, STEPS, FEATURES).double())
    assert calls == [*range(STEPS), *range(STEPS)]


def test_a_copy_still_shares_its_weights() -> None:
    network = copy.deepcopy(unroll(build(cells.GRU()), STEPS))
    assert len({id(p) for p in network.parameters()}) == len(list(build(cells.GRU()).parameters()))
    with torch.no_grad():
        network.layer.stack[0].forwards.W.zero_()
    assert not network.steps[-1].layer.stack[0].forwards.W.any()


def test_state_goes_in_and_out() -> None:
    layer = build(cells.LSTM())
    x = torch.randn(BATCH, 2 * STEPS, FEATURES).double()
    network = unroll(layer, STEPS)
    _, state = network(x[:, :STEPS])
    torch.testing.assert_close(network(x[:, STEPS:], state)[1], layer(x)[1], rtol=1e-12, atol=1e-12)


def test_it_runs_without_input() -> None:
    layer = build(cells.LSTM())
    torch.testing.assert_close(unroll(layer, 3)(None), layer(None, steps=3), rtol=1e-12, atol=1e-12)


def test_errors_name_the_fault() -> None:
    layer = build(cells.GRU())
    with pytest.raises(ArgumentError, match="a network of 0 steps"):
        unroll(layer, 0)
    with pytest.raises(ArgumentError, match=r"x has 4 steps, but the network was unrolled for 5"):
        unroll(layer, 5)(torch.randn(1, 4, FEATURES).double())
