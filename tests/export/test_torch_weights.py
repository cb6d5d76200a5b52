from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

import unrolled as ur
from unrolled.cell import Cell, sigmoid, state, tanh
from unrolled.errors import ArgumentError, DataError
from unrolled.export import from_torch, to_torch

FEATURES, HIDDEN, BATCH, STEPS = 3, 5, 2, 6
MODES: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}),
    "projected": (nn.LSTM, {"proj_size": 2}),
    "gru": (nn.GRU, {}),
}
SHAPES = list(itertools.product((1, 3), (False, True), (False, True)))


def module(mode: str, layers: int = 1, bidirectional: bool = False, bias: bool = True, **options: Any) -> nn.RNNBase:
    torch.manual_seed(7)
    kind, extra = MODES[mode]
    options = {"dtype": torch.float64, **extra, **options}
    return kind(FEATURES, HIDDEN, layers, bidirectional=bidirectional, bias=bias, batch_first=True, **options)


def outputs(torchs: nn.RNNBase, x: Tensor) -> Tensor:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections")
        return torchs(x)[0]


def signal() -> Tensor:
    return torch.randn(BATCH, STEPS, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("layers", "bidirectional", "bias"), SHAPES)
def test_torch_weights_go_in_and_out(mode: str, layers: int, bidirectional: bool, bias: bool) -> None:
    torchs = module(mode, layers, bidirectional, bias)
    layer = from_torch(torchs.state_dict(), nonlinearity="relu" if mode == "relu" else "tanh")
    assert layer.output_size == outputs(torchs, signal()).shape[2]
    assert layer.layers[0].forwards.W.dtype == torch.float64
    torch.testing.assert_close(layer(signal())[0], outputs(torchs, signal()), rtol=0, atol=1e-12)

    again = module(mode, layers, bidirectional, bias)
    for parameter in again.parameters():
        nn.init.zeros_(parameter)
    again.load_state_dict(to_torch(layer))
    torch.testing.assert_close(outputs(again, signal()), outputs(torchs, signal()), rtol=0, atol=1e-12)


def test_a_module_tells_its_nonlinearity() -> None:
    torchs = module("relu")
    torch.testing.assert_close(from_torch(torchs)(signal())[0], outputs(torchs, signal()), rtol=0, atol=1e-12)


def test_last_state_is_that_of_torch() -> None:
    torchs = module("lstm", 2, bidirectional=True)
    _, (h, c) = torchs(signal())
    _, ours = from_torch(torchs)(signal())
    found = [direction for layer in ours for direction in layer]
    torch.testing.assert_close(torch.stack([s.h for s in found]), h, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.stack([s.c for s in found]), c, rtol=0, atol=1e-12)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.sampled_from(["lstm", "gru", "rnn"]))
def test_a_layer_of_ours_comes_back_as_it_went(
    features: int, hidden: int, layers: int, bidirectional: bool, cell: str
) -> None:
    layer = ur.Recurrent(ur.cells.by_name(cell), features, hidden, layers=layers, bidirectional=bidirectional)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    back = from_torch(to_torch(layer))
    assert back.program == layer.program
    for name, parameter in layer.state_dict().items():
        assert torch.equal(back.state_dict()[name], parameter), name


@pytest.mark.parametrize(("torchs", "rows"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_weights_of_a_single_step(torchs: Callable[[int, int], nn.Module], rows: int) -> None:
    cell = torchs(FEATURES, HIDDEN).double()
    layer = from_torch(cell)
    assert layer.layers[0].forwards.W.shape == (rows * HIDDEN, FEATURES)
    h, found = None, []
    for t in range(STEPS):
        h = cell(signal()[:, t], h)
        found.append(h[0] if isinstance(h, tuple) else h)
    torch.testing.assert_close(layer(signal())[0], torch.stack(found, 1), rtol=0, atol=1e-12)


def test_one_of_several_modules_of_a_file(tmp_path: Path) -> None:
    model = nn.ModuleDict({"reader": module("gru"), "writer": module("lstm"), "out": nn.Linear(HIDDEN, 2)})
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    layer = from_torch(tmp_path / "model.safetensors", prefix="writer")
    torch.testing.assert_close(layer(signal())[0], outputs(model["writer"], signal()), rtol=0, atol=1e-12)
    with pytest.raises(ArgumentError, match="choose one with prefix= of 'reader', 'writer'"):
        from_torch(model.state_dict())
    with pytest.raises(ArgumentError, match="no recurrent module 'decoder', but 'reader', 'writer'"):
        from_torch(model.state_dict(), prefix="decoder")


def test_dropout_of_training_is_no_obstacle_and_zoneout_is_one() -> None:
    layer = ur.Recurrent(
        ur.cells.LSTM(), FEATURES, HIDDEN, regularisation=ur.Regularisation(recurrent_dropout=0.3, weight_drop=0.5)
    ).eval()
    torchs = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    torchs.load_state_dict(to_torch(layer))
    torch.testing.assert_close(layer(signal().float())[0], outputs(torchs, signal().float()), rtol=0, atol=1e-6)
    kept = ur.Recurrent(ur.cells.LSTM(), FEATURES, HIDDEN, regularisation=ur.Regularisation(zoneout=0.1))
    with pytest.raises(ArgumentError, match="the layer has zoneout, for which the weights of a torch layer"):
        to_torch(kept)


@dataclass(frozen=True)
class Mine(Cell):
    """A GRU under other names and in another order."""

    gates = ("fresh", "keep", "forget")
    state = state(memory="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        keep = sigmoid(u.keep + x.keep)
        fresh = tanh(sigmoid(x.forget + u.forget) * u.fresh + x.fresh)
        memory = keep * s.memory + fresh * (1 - keep)
        return memory, self.next(memory=memory)


def test_a_cell_of_ones_own_is_recognised_by_its_equations() -> None:
    layer = ur.Recurrent(Mine(), FEATURES, HIDDEN, layers=2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    torchs = nn.GRU(FEATURES, HIDDEN, 2, batch_first=True)
    torchs.load_state_dict(to_torch(layer))
    torch.testing.assert_close(layer(signal().float())[0], outputs(torchs, signal().float()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: ur.Recurrent(ur.cells.SLSTM(), 3, 5), "torch has no cell with the equations of SLSTM"),
        (lambda: ur.Recurrent(ur.cells.GRUResetBefore(), 3, 5), "GRU that resets after the product"),
        (lambda: ur.Recurrent(ur.cells.PeepholeLSTM(), 3, 5), "no cell with the equations of PeepholeLSTM"),
        (lambda: ur.Recurrent(ur.cells.Elman("sigmoid"), 3, 5), "RNN with tanh or relu"),
        (lambda: ur.Recurrent(ur.cells.LSTM(), 3, (5, 4)), "the layers are 5, 4 units wide"),
        (lambda: ur.Recurrent(ur.cells.LSTM(), 3, 5, structure=ur.Structure(learned_start=True)), "a learned start"),
        (lambda: ur.Recurrent(ur.cells.LSTM(), 5, 5, structure=ur.Structure(residual=True)), "residual sums"),
        (
            lambda: ur.Recurrent(ur.cells.LSTM(), 3, 5, layers=2, regularisation=ur.Regularisation(layer_norm=True)),
            "layer normalisation",
        ),
    ],
)
def test_what_torch_has_no_place_for(layer: Callable[[], ur.Recurrent], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        to_torch(layer())


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("weight_hh_l0", (20, 4), r"weight_hh_l0 has the shape \(20, 4\), but an RNN, GRU or LSTM has"),
        ("weight_hh_l0", (7, 4), r"weight_hh_l0 has the shape \(7, 4\), but an RNN, GRU or LSTM has 1, 3 or 4 rows"),
        ("weight_ih_l0", (18, 3), "weight_ih_l0 has 18 rows, but the weights of LSTM have a multiple of 4"),
        ("weight_ih_l1", (20, 4), r"weight_ih_l1 has the shape \(20, 4\), but its neighbours need \(20, 5\)"),
        ("weight_hh_l1", (20, 6), r"weight_hh_l1 has the shape \(20, 6\), but its neighbours need \(20, 5\)"),
        ("bias_ih_l0", (19,), r"bias_ih_l0 has the shape \(19,\), but its neighbours need \(20,\)"),
        ("weight_ih_l0", (20,), r"weight_ih_l0 has the shape \(20,\), but it is a matrix"),
        ("weight_hh_l1", None, "no weight_hh_l1; give all layers"),
        ("bias_hh_l1", None, "some biases beside weight_ih_l1 and not others"),
    ],
)
def test_weights_that_do_not_fit_are_named(name: str, shape: tuple[int, ...] | None, said: str) -> None:
    given = {k: v.clone() for k, v in module("lstm", 2).state_dict().items()}
    given.pop(name)
    if shape is not None:
        given[name] = torch.randn(shape)
    with pytest.raises(ArgumentError, match=said):
        from_torch(given)


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no recurrent weights; their names end as in weight_ih_l0"):
        from_torch(nn.Linear(2, 3).state_dict())
    with pytest.raises(ArgumentError, match=r"weight_hh_l0 holds torch.int64, but weights are floating-point"):
        from_torch({"weight_ih_l0": torch.ones(4, 2), "weight_hh_l0": torch.ones(4, 1, dtype=torch.int64)})
    with pytest.raises(ArgumentError, match="weight_hh_l0 is not an array of numbers"):
        from_torch({"weight_ih_l0": torch.ones(4, 2), "weight_hh_l0": [[1.0], [2.0, 3.0]]})
    torch.save(nn.LSTM(2, 3).state_dict(), tmp_path / "pickled.pt")
    with pytest.raises(DataError, match=r"pickled.pt: this is not a safetensors file \(.*\); save the weights with"):
        from_torch(tmp_path / "pickled.pt")
    with pytest.raises(DataError, match=r"absent.safetensors: there is no such file"):
        from_torch(tmp_path / "absent.safetensors")
