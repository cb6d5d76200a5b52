from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import unrolled as ur
from unrolled.errors import ArgumentError
from unrolled.export import from_keras, to_keras

GOLDEN = Path(__file__).parent / "golden" / "keras.safetensors"
FEATURES, UNITS, STEPS = 3, 4, 5


def golden() -> dict[str, tuple[dict[str, Any], list[np.ndarray], np.ndarray, np.ndarray]]:
    """What tools/make_golden_weights.py wrote: options, weights, input and keras's own output of each case."""
    with safe_open(GOLDEN, "numpy") as file:
        options = json.loads(file.metadata()["options"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    found = {}
    for case, chosen in options.items():
        count = sum(name.startswith(f"{case}/") for name in tensors) - 1
        weights = [tensors[f"{case}/{i}"] for i in range(count)]
        found[case] = (chosen, weights, tensors["x"], tensors[f"{case}/y"])
    return found


CASES = golden()


def output(layer: ur.Recurrent, x: np.ndarray) -> np.ndarray:
    return layer(torch.as_tensor(x))[0].detach().numpy()


@pytest.mark.parametrize("case", CASES)
def test_weights_of_keras_give_its_outputs(case: str) -> None:
    options, weights, x, y = CASES[case]
    layer = from_keras(weights, **options)
    np.testing.assert_allclose(output(layer, x), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", [case for case, (options, *_) in CASES.items() if "activation" not in options])
def test_they_go_out_as_they_came_in(case: str) -> None:
    options, weights, _, _ = CASES[case]
    back = to_keras(from_keras(weights, **options))
    # Two biases of a sum come back as one, so a GRU's second is compared by what it does.
    assert [w.shape for w in back] == [w.shape for w in weights]
    for ours, theirs in zip(back, weights, strict=True):
        both = ours.shape == (2, 3 * UNITS)
        if both:
            np.testing.assert_allclose(ours[:, 2 * UNITS :], theirs[:, 2 * UNITS :])
        np.testing.assert_allclose(*((ours.sum(0), theirs.sum(0)) if both else (ours, theirs)), rtol=0, atol=1e-6)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["lstm", "gru", "gru-reset-before", "rnn"]),
)
def test_a_layer_of_ours_comes_back(features: int, hidden: int, layers: int, bidirectional: bool, cell: str) -> None:
    layer = ur.Recurrent(ur.cells.by_name(cell), features, hidden, layers=layers, bidirectional=bidirectional)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    back = from_keras(to_keras(layer), bidirectional=bidirectional)
    assert back.program == layer.program
    for name, parameter in layer.state_dict().items():
        assert torch.equal(back.state_dict()[name], parameter), name


def test_a_list_for_each_layer_is_the_same() -> None:
    options, weights, x, y = CASES["GRU, 2 both ways"]
    layer = from_keras([weights[:6], weights[6:]], **options)
    np.testing.assert_allclose(output(layer, x), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: [*w[:2], w[2][:-1], *w[3:]], r"bias 0 has the shape \(15,\), but its neighbours need \(16,\)"),
        (lambda w: [w[0][:, :-1], *w[1:]], r"kernel 0 has the shape \(3, 15\), but needs \(F, 4 H\) for 4 gates"),
        (lambda w: [w[0], w[1][:-1], *w[2:]], r"recurrent_kernel of the first layer has the shape \(3, 16\)"),
        (lambda w: [*w[:3], w[3][:, :4], *w[4:]], r"recurrent_kernel 1 has the shape \(4, 16\), .* need \(1, 4\)"),
        (lambda w: [*w[:6], w[6][:-1], *w[7:]], r"kernel 2 has the shape \(7, 16\), but its neighbours need \(8, 16\)"),
        (lambda w: w[:-1], "11 arrays were given, but every direction of every layer needs a kernel, a recurrent"),
        (lambda w: [], "0 arrays were given"),
        (lambda w: [w[0].astype(int), *w[1:]], "kernel 0 holds torch.int64, but weights are floating-point numbers"),
        (lambda w: [["a"], *w[1:]], "was given|is not an array"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change: Callable[[list[Any]], list[Any]], said: str) -> None:
    _, weights, _, _ = CASES["LSTM, 2 both ways"]
    with pytest.raises(ArgumentError, match=said):
        from_keras(change(weights), bidirectional=True)


def test_two_biases_of_a_gru_are_told_from_the_kernel_of_a_next_layer() -> None:
    layer = ur.Recurrent(ur.cells.GRU(), 2, 2, layers=2)
    assert from_keras(to_keras(layer)).hidden_sizes == (2, 2)
    _, weights, _, _ = CASES["GRU, 1 one way"]
    with pytest.raises(ArgumentError, match=r"bias 0 has the shape \(2, 11\), but its neighbours need \(2, 12\)"):
        from_keras([*weights[:2], weights[2][:, :-1]])


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (ur.cells.PeepholeLSTM(), "no cell with the equations of PeepholeLSTM"),
        (ur.cells.ProjectedLSTM(), "no layer with the equations of ProjectedLSTM"),
        (ur.cells.UGRNN(), "Keras has no cell with the equations of UGRNN"),
    ],
)
def test_what_keras_has_no_place_for(cell: ur.Cell, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        to_keras(ur.Recurrent(cell, 3, 4))


def test_an_activation_that_is_not_there() -> None:
    with pytest.raises(ArgumentError, match=r"the activation 'mish' is none of elu, hard_sigmoid, leaky_relu, linear"):
        from_keras(CASES["LSTM, 1 one way"][1], activation="mish")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="keras is not installed; golden arrays made by it are compared instead")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # keras's own get_weights
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_round_trip_through_keras_itself(keras: Any, kind: str, bidirectional: bool) -> None:
    cell = {"LSTM": ur.cells.LSTM(), "GRU": ur.cells.GRU(), "SimpleRNN": ur.cells.Elman()}[kind]
    layer = ur.Recurrent(cell, FEATURES, UNITS, layers=2, bidirectional=bidirectional)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    made = [getattr(keras.layers, kind)(UNITS, return_sequences=True) for _ in range(2)]
    stack = [keras.layers.Bidirectional(one) if bidirectional else one for one in made]
    model = keras.Sequential([keras.layers.Input((None, FEATURES)), *stack])
    model.set_weights(to_keras(layer))
    x = np.random.default_rng(4).standard_normal((2, STEPS, FEATURES)).astype(np.float32)
    theirs = np.asarray(model(x).detach())
    np.testing.assert_allclose(theirs, output(layer, x), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        output(from_keras(model.get_weights(), bidirectional=bidirectional), x), theirs, rtol=0, atol=1e-5
    )
