from __future__ import annotations

import copy
import json
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
from unrolled.export import from_flax, to_flax

GOLDEN = Path(__file__).parent / "golden" / "flax.safetensors"
FEATURES, UNITS, STEPS = 3, 4, 5


def golden() -> dict[str, tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """What tools/make_golden_weights.py wrote: parameters, input and Flax's own output of each case."""
    with safe_open(GOLDEN, "numpy") as file:
        cases = json.loads(file.metadata()["options"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    found = {}
    for case in cases:
        tree: dict[str, Any] = {}
        for name, value in tensors.items():
            if name.startswith(f"{case}/") and name != f"{case}/y":
                *path, last = name.removeprefix(f"{case}/").split(".")
                place = tree
                for step in path:
                    place = place.setdefault(step, {})
                place[last] = value
        found[case] = (tree, tensors["x"], tensors[f"{case}/y"])
    return found


CASES = golden()


def output(layer: ur.Recurrent, x: np.ndarray) -> np.ndarray:
    return layer(torch.as_tensor(x))[0].detach().numpy()


def same(ours: Any, theirs: Any) -> None:
    """The same dicts with equal arrays."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            same(ours[name], value)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_parameters_of_flax_give_its_outputs(case: str) -> None:
    params, x, y = CASES[case]
    np.testing.assert_allclose(output(from_flax(params), x), y, rtol=0, atol=1e-6)
    np.testing.assert_allclose(output(from_flax({"params": params}), x), y, rtol=0, atol=1e-6)


# nnx.OptimizedLSTMCell is read; what is written is nnx.LSTMCell's form.
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("nnx Optimized")])
def test_they_go_out_as_they_came_in(case: str) -> None:
    params, _, _ = CASES[case]
    (back,) = to_flax(from_flax(params), api=case.split(maxsplit=1)[0])
    same(back, params)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["lstm", "gru", "rnn"]),
    st.sampled_from(["linen", "nnx"]),
)
def test_a_layer_of_ours_comes_back(
    features: int, hidden: int, layers: int, bidirectional: bool, cell: str, api: str
) -> None:
    layer = ur.Recurrent(ur.cells.by_name(cell), features, hidden, layers=layers, bidirectional=bidirectional)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if api == "linen" or not name.endswith(".c"):
                parameter.normal_()
    back = from_flax(to_flax(layer, api=api))
    assert back.program == layer.program
    for name, parameter in layer.state_dict().items():
        assert torch.equal(back.state_dict()[name], parameter), name


def test_layers_without_biases() -> None:
    params = copy.deepcopy(CASES["linen LSTMCell one way"][0])
    for part in params["cell"].values():
        part.pop("bias", None)
    layer = from_flax(params)
    assert not layer.program.bias
    same(to_flax(layer)[0], params)


def test_activations_that_cells_were_made_with() -> None:
    params, x, y = CASES["linen LSTMCell one way"]
    other = output(from_flax(params, activation="relu", gate_activation="hard_sigmoid"), x)
    assert np.abs(other - y).max() > 0.01
    with pytest.raises(ArgumentError, match="the activation 'mish' is none of"):
        from_flax(params, activation="mish")


def damaged(case: str, path: str, value: Any) -> dict[str, Any]:
    """The case's parameters with one array replaced, or taken out."""
    params = copy.deepcopy(CASES[case][0])
    *steps, last = path.split(".")
    place = params
    for step in steps:
        place = place[step]
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return params


@pytest.mark.parametrize(
    ("case", "path", "value", "said"),
    [
        ("linen GRUCell one way", "cell.hn.kernel", np.ones((4, 3)), r"layer 0: hn.kernel has the shape \(4, 3\)"),
        ("linen GRUCell one way", "cell.iz.kernel", np.ones((2, 4)), r"layer 0: iz.kernel .* need \(3, 4\)"),
        ("linen GRUCell one way", "cell.hn.bias", np.ones(5), r"layer 0: hn.bias has the shape \(5,\)"),
        ("linen GRUCell one way", "cell.hz", None, r"layer 0 has no hz.kernel; give the whole parameters"),
        ("linen GRUCell one way", "cell.ir.kernel", np.ones(4), r"ir.kernel has the shape \(4,\), but it is a matrix"),
        (
            "linen LSTMCell both ways",
            "backward_rnn.cell.hf.kernel",
            np.ones((4, 5)),
            r"layer 0, backward_rnn: hf.kernel has the shape \(4, 5\)",
        ),
        ("nnx GRUCell one way", "cell.dense_h.kernel", np.ones((4, 8)), r"dense_h.kernel has the shape \(4, 8\)"),
        ("nnx GRUCell one way", "cell.dense_i.kernel", np.ones((3, 8)), r"dense_i.kernel .* need \(3, 12\)"),
        ("nnx GRUCell one way", "cell.dense_i.bias", np.ones(11), r"dense_i.bias .* need \(12,\)"),
    ],
)
def test_parameters_that_do_not_fit_are_named(case: str, path: str, value: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        from_flax(damaged(case, path, value))


def test_what_is_no_cell_of_flax() -> None:
    with pytest.raises(ArgumentError, match="layer 0 has Dense_0, which are not the parameters of an LSTMCell"):
        from_flax({"params": {"Dense_0": {"kernel": np.ones((2, 2))}}})
    with pytest.raises(ArgumentError, match="layer 0 has ndarray, which are not the parameters"):
        from_flax([np.ones(3)])  # type: ignore[list-item]  # that is the fault
    trees = [CASES[f"linen {cell} one way"][0] for cell in ("LSTMCell", "SimpleCell")]
    trees[1] = damaged("linen SimpleCell one way", "cell.i.kernel", np.ones((4, 4)))
    with pytest.raises(ArgumentError, match="the layers must all have the same cell, biases and directions"):
        from_flax(trees)
    with pytest.raises(ArgumentError, match="the layers must all have the same cell"):
        from_flax([])


def test_what_flax_has_no_place_for() -> None:
    with pytest.raises(ArgumentError, match="Flax has no cell with the equations of GRUResetBefore"):
        to_flax(ur.Recurrent(ur.cells.GRUResetBefore(), 3, 4))
    with pytest.raises(ArgumentError, match="api is 'haiku', but Flax has 'linen' and 'nnx'"):
        to_flax(ur.Recurrent(ur.cells.GRU(), 3, 4), api="haiku")
    layer = ur.Recurrent(ur.cells.GRU(), 3, 4)
    torch.nn.init.normal_(layer.layers[0].forwards.c)
    with pytest.raises(ArgumentError, match="a recurrent bias that is not 0, but Flax's nnx has one bias a gate"):
        to_flax(layer, api="nnx")


@pytest.mark.parametrize("api", ["linen", "nnx"])
@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "SimpleCell"])
def test_round_trip_through_flax_itself(api: str, kind: str) -> None:
    flax = pytest.importorskip("flax", reason="flax is not installed; golden arrays made by it are compared instead")
    cell = {"LSTMCell": ur.cells.LSTM(), "GRUCell": ur.cells.GRU(), "SimpleCell": ur.cells.Elman()}[kind]
    layer = ur.Recurrent(cell, FEATURES, UNITS)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if api == "linen" or not name.endswith(".c"):
                parameter.normal_()
    x = np.random.default_rng(4).standard_normal((2, STEPS, FEATURES)).astype(np.float32)
    (params,) = to_flax(layer, api=api)
    if api == "linen":
        from flax import linen

        theirs = np.asarray(linen.RNN(getattr(linen, kind)(UNITS)).apply({"params": params}, x))
    else:
        from flax import nnx

        network = nnx.RNN(getattr(nnx, kind)(FEATURES, UNITS, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))
        state = nnx.state(network, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(network, state)
        theirs = np.asarray(network(x))
        params = nnx.to_pure_dict(nnx.state(network, nnx.Param))
    assert flax.__version__
    np.testing.assert_allclose(theirs, output(layer, x), rtol=0, atol=1e-5)
    np.testing.assert_allclose(output(from_flax(params), x), theirs, rtol=0, atol=1e-5)
