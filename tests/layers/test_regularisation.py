from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.cell import Cell, Program
from unrolled.engine import Weights, scan
from unrolled.errors import ArgumentError
from unrolled.layers import Captures, Recurrent, Regularisation, Structure

BATCH, STEPS, FEATURES, HIDDEN = 4, 9, 6, 8


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(13)


def build(cell: Cell | None = None, **rates: Any) -> Recurrent:
    torch.manual_seed(3)
    return Recurrent(cell or cells.GRU(), FEATURES, HIDDEN, layers=2, regularisation=Regularisation(**rates)).double()


def numbers() -> Tensor:
    return torch.randn(BATCH, STEPS, FEATURES, dtype=torch.float64)


def call(layer: Recurrent, x: Tensor, seed: int = 1, **options: Any) -> Tensor:
    torch.manual_seed(seed)
    outputs: Tensor = layer(x, **options)[0]
    return outputs


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


ALL = {
    "input_dropout": 0.3,
    "dropout": 0.4,
    "output_dropout": 0.2,
    "zoneout": 0.3,
    "recurrent_dropout": 0.25,
    "weight_drop": 0.5,
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("cell", [cells.GRU(), cells.LSTM(), cells.Elman(), cells.GRUResetBefore()])
def test_a_rate_acts_in_training_by_seed_and_not_in_evaluation(cell: Cell, name: str) -> None:
    layer, plain, x = build(cell, **{name: ALL[name]}), build(cell), numbers()
    trained = call(layer, x, 1)
    close(call(layer, x, 1), trained)
    assert not torch.allclose(call(layer, x, 2), trained)
    assert not torch.allclose(call(plain, x), trained)
    layer.eval()
    close(call(layer, x, 2), call(layer, x, 1))
    if name == "zoneout":
        assert not torch.allclose(call(plain, x), call(layer, x))
    else:
        close(call(layer, x), call(plain, x))


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("name", ["input_dropout", "dropout", "output_dropout"])
def test_a_variational_mask_is_the_same_at_every_step(name: str, variational: bool) -> None:
    layer, x = build(variational=variational, **{name: 0.5}), numbers()
    read: list[Tensor] = []
    wrote: list[Tensor] = []

    def look(program: Program, weights: Weights, xs: Tensor, state: Any, **rest: Any) -> tuple[Tensor, Any]:
        outputs, after = scan(program, weights, xs, state, **rest)
        read.append(xs)
        wrote.append(outputs)
        return outputs, after

    outputs, _ = layer.through(look, x)
    after, before = {
        "input_dropout": (read[0], x),
        "dropout": (read[1], wrote[0]),
        "output_dropout": (outputs, wrote[1]),
    }[name]
    mask = (after / before).detach().round(decimals=9)
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    assert (mask == mask[:, :1]).all() == variational
    assert not (mask == mask[:1]).all()
    assert (read[0] is x) == (name != "input_dropout")


def test_weight_drop_masks_entries_of_u_once_a_call() -> None:
    layer = build(cells.LSTM(), weight_drop=0.5)
    direction = layer.stack[0].forwards
    torch.manual_seed(4)
    dropped = direction.weights()
    assert dropped.U is not None
    ratio = dropped.U / direction.U
    assert set(ratio.unique().round(decimals=9).tolist()) == {0.0, 2.0}
    assert dropped.W is direction.W
    x = numbers()
    torch.manual_seed(4)
    captures = Captures("h")
    layer(x, capture=captures)
    close(captures["h"][0][0], scan(layer.program, dropped, x)[0])


def test_dropped_entries_of_u_get_no_gradient() -> None:
    layer = Recurrent(cells.Elman(), FEATURES, HIDDEN, regularisation=Regularisation(weight_drop=0.6)).double()
    direction = layer.stack[0].forwards
    torch.manual_seed(4)
    mask = direction.weights().U == 0
    call(layer, numbers(), 4).sum().backward()
    assert direction.U is not None
    assert direction.U.grad is not None
    assert ((direction.U.grad == 0) == mask).all()


def test_zoneout_keeps_old_states() -> None:
    layer, captures = build(cells.LSTM(), zoneout={"c": 0.7}), Captures("h", "c")
    call(layer, numbers(), capture=captures)
    c, h = captures["c"][0][0], captures["h"][0][0]
    kept = (c[:, 1:] == c[:, :-1]).double().mean()
    assert 0.5 < kept < 0.9
    assert not (h[:, 1:] == h[:, :-1]).any()


def test_recurrent_dropout_keeps_one_mask_for_all_steps() -> None:
    layer = build(recurrent_dropout=0.5)
    (noise,) = layer.program.noise.values()
    assert noise.frequency == "sequence"
    assert build().program.noise == {}


def test_padding_stays_out_of_a_regularised_layer() -> None:
    layer, x = build(**ALL, variational=True, layer_norm=True), numbers()
    lengths = torch.tensor([9, 3, 0, 5])
    outputs = call(layer, x, lengths=lengths)
    other = x.clone()
    for row, length in enumerate(lengths):
        other[row, length:] = float("nan")
        assert not outputs[row, length:].any()
    close(call(layer, other, lengths=lengths), outputs)


def test_nan_in_the_padding_reaches_no_gradient() -> None:
    options = {"structure": Structure(residual=True), "regularisation": Regularisation(layer_norm=True, dropout=0.2)}
    layer = Recurrent(cells.LSTM(), HIDDEN, HIDDEN, layers=2, **options).double()  # type: ignore[arg-type]
    x = torch.randn(2, STEPS, HIDDEN, dtype=torch.float64)
    x[0, 4:] = float("nan")
    x.requires_grad_()
    layer(x, lengths=[4, STEPS])[0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert x.grad is not None
    assert not x.grad[0, 4:].any()


def test_it_says_what_differs_from_the_default() -> None:
    assert str(Regularisation()) == ""
    assert str(Regularisation(dropout=0.5, layer_norm=True)) == "dropout=0.5, layer_norm"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_its_range_is_refused(name: str, rate: float) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is {rate}, but it is the share"):
        Regularisation(**{name: rate})


def test_a_zoneout_of_an_unknown_state_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"zoneout is 2.0, but it is the share"):
        Regularisation(zoneout={"h": 2.0})
    with pytest.raises(ArgumentError, match="zoneout was asked for the state 'c'"):
        build(cells.GRU(), zoneout={"c": 0.1})


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_drop"])
def test_a_cell_without_recurrent_matrices_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} needs recurrent matrices, but IndRNN has none"):
        build(cells.IndRNN(), **{name: 0.5})
