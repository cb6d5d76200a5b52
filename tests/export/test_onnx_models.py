from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from torch import nn

import unrolled as ur
from unrolled.errors import ArgumentError, DataError
from unrolled.export import from_onnx, to_onnx_weights

FEATURES, UNITS, BATCH, STEPS = 3, 4, 2, 5


def random_layer(cell: str, **options: Any) -> ur.Recurrent:
    torch.manual_seed(2)
    layer = ur.Recurrent(ur.cells.by_name(cell), FEATURES, UNITS, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def signal() -> torch.Tensor:
    return torch.randn(BATCH, STEPS, FEATURES, generator=torch.Generator().manual_seed(3))


def model_of(stack: list[dict[str, Any]], **inputs: np.ndarray) -> Any:
    """The nodes of a stack with their weights as constants; the outputs of one are squeezed for the next."""
    nodes, constants, x = [], [], "x"
    for i, part in enumerate(stack):
        arrays = {name: part[name] for name in "WRBP" if name in part} | inputs
        constants += [numpy_helper.from_array(value, f"{name}{i}") for name, value in arrays.items()]
        places = ("W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")[
            : 7 if part["op_type"] == "LSTM" else 5
        ]
        given_names = [x, *(f"{name}{i}" if name in arrays else "" for name in places)]
        nodes.append(helper.make_node(part["op_type"], given_names, [f"y{i}"], name=f"layer {i}", **part["attributes"]))
        # (T, D, B, H) -> (T, B, D * H)
        nodes.append(helper.make_node("Transpose", [f"y{i}"], [f"turned{i}"], perm=[0, 2, 1, 3]))
        constants.append(numpy_helper.from_array(np.array([0, 0, -1]), f"shape{i}"))
        nodes.append(helper.make_node("Reshape", [f"turned{i}", f"shape{i}"], [f"x{i}"]))
        x = f"x{i}"
    graph = helper.make_graph(
        nodes,
        "stack",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, None, FEATURES])],
        [helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


@given(
    st.sampled_from(["lstm", "gru", "gru-reset-before", "rnn", "rnn-relu", "lstm-peephole"]),
    st.integers(1, 3),
    st.booleans(),
)
def test_a_layer_of_ours_comes_back(cell: str, layers: int, bidirectional: bool) -> None:
    layer = random_layer(cell, layers=layers, bidirectional=bidirectional)
    back = from_onnx(model_of(to_onnx_weights(layer)))
    assert back.program == layer.program
    for name, parameter in layer.state_dict().items():
        assert torch.equal(back.state_dict()[name], parameter), name


@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before", "rnn", "lstm-peephole", "lstm-coupled"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_onnx_runtime_computes_the_nodes_as_we_do(cell: str, bidirectional: bool) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    layer = random_layer(cell, layers=2, bidirectional=bidirectional)
    model = model_of(to_onnx_weights(layer))
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"x": signal().transpose(0, 1).numpy()})
    ours = layer(signal())[0].transpose(0, 1).detach().numpy()
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    back = from_onnx(model)(signal())[0].transpose(0, 1).detach().numpy()
    np.testing.assert_allclose(back, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_what_our_own_export_wrote_comes_back(cell: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    layer = random_layer(cell, layers=2, bidirectional=True)
    ur.export.onnx(layer, tmp_path / "layer.onnx")
    torch.testing.assert_close(from_onnx(tmp_path / "layer.onnx")(signal())[0], layer(signal())[0])
    ur.export.onnx(layer, tmp_path / "rounded.onnx", int8=True)
    rounded = from_onnx(tmp_path / "rounded.onnx").layers[0].forwards.W
    assert 0 < (rounded - layer.layers[0].forwards.W).abs().max() < 0.02


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_what_torch_exported(kind: Callable[..., nn.RNNBase], tmp_path: Path) -> None:
    torchs = kind(FEATURES, UNITS, 2, bidirectional=True, batch_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that this exporter of its is going away
        torch.onnx.export(torchs, (signal(),), tmp_path / "torch.onnx", dynamo=False)
    layer = from_onnx(tmp_path / "torch.onnx")
    torch.testing.assert_close(layer(signal())[0], torchs(signal())[0], rtol=0, atol=1e-6)


def test_activations_and_clip_become_a_cell_that_a_run_can_keep() -> None:
    stack = to_onnx_weights(random_layer("gru"))
    stack[0]["attributes"] |= {"activations": ["HardSigmoid", "Softsign"], "clip": 0.5}
    layer = from_onnx(model_of(stack))
    again = ur.Recurrent(ur.Program.from_json(layer.program.to_json()), FEATURES, UNITS)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(signal())[0], layer(signal())[0])
    assert not torch.allclose(again(signal())[0], random_layer("gru")(signal())[0], atol=0.01)


def without_biases() -> list[dict[str, Any]]:
    stack = to_onnx_weights(random_layer("lstm", layers=2))
    for part in stack:
        del part["B"]
    return stack


def test_nodes_without_biases() -> None:
    layer = from_onnx(model_of(without_biases()))
    assert not layer.program.bias
    assert layer.layers[1].forwards.W.shape == (4 * UNITS, UNITS)


def named(**change: Any) -> list[dict[str, Any]]:
    """Two layers, the attributes of the second one changed."""
    stack = copy.deepcopy(to_onnx_weights(random_layer("lstm", layers=2)))
    stack[1]["attributes"] |= change
    return stack


def test_nodes_that_a_layer_cannot_hold() -> None:
    with pytest.raises(ArgumentError, match="the nodes layer 0, layer 1 compute differently"):
        from_onnx(model_of(named(clip=1.0)))
    stack = to_onnx_weights(random_layer("lstm"))
    stack[0]["attributes"]["direction"] = "reverse"
    with pytest.raises(ArgumentError, match="layer 0 reads from the end alone, but a Recurrent reads forwards or both"):
        from_onnx(model_of(stack))
    start = np.ones((1, BATCH, UNITS), np.float32)
    with pytest.raises(ArgumentError, match=r"layer 0 starts from a state of its own \(initial_h\)"):
        from_onnx(model_of(to_onnx_weights(random_layer("lstm")), initial_h=start))
    assert from_onnx(model_of(to_onnx_weights(random_layer("lstm")), initial_h=0 * start)).input_size == FEATURES


def test_one_of_several_stacks() -> None:
    model = model_of(named())
    turned = next(node for node in model.graph.node if node.output[0] == "x0")
    turned.op_type = "Relu"
    del turned.input[1:]
    with pytest.raises(ArgumentError, match="nodes layer 0, layer 1 are not one stack; choose with nodes="):
        from_onnx(model)
    assert from_onnx(model, nodes=["layer 1"]).input_size == UNITS
    with pytest.raises(ArgumentError, match="no recurrent node 'layer 2', but layer 0, layer 1"):
        from_onnx(model, nodes=["layer 2"])
    with pytest.raises(ArgumentError, match="W of layer 0 reads 3 features, but the layer below gives 4"):
        from_onnx(model, nodes=["layer 1", "layer 0"])


def test_weights_that_are_no_constants() -> None:
    model = model_of(to_onnx_weights(random_layer("lstm")))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "W0"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    with pytest.raises(ArgumentError, match="W of layer 0 is an input of the model and no weight of it"):
        from_onnx(model)


def through(model: Any, *nodes: Any) -> Any:
    """W of the first node goes through these nodes first."""
    model.graph.node[0].input[1] = nodes[-1].output[0]
    model.graph.node.extend(nodes)
    return model


def test_weights_behind_nodes_that_only_move_them() -> None:
    layer = random_layer("gru")
    turned = [
        helper.make_node("Transpose", ["W0"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Transpose", ["turned"], ["back"], perm=[0, 2, 1]),
    ]
    found = from_onnx(through(model_of(to_onnx_weights(layer)), *turned))
    assert torch.equal(found.layers[0].forwards.W, layer.layers[0].forwards.W)


def test_nodes_that_make_much_of_little_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.export.weights.onnx_model._LARGEST", 2**20)
    stack = to_onnx_weights(random_layer("gru"))
    doubled = [helper.make_node("Concat", [f"W{k}"] * 64, [f"W{k + 1}"], axis=1) for k in range(10)]
    with pytest.raises(ArgumentError, match=r"damaged \(they would take more than 2 GiB\)"):
        from_onnx(through(model_of(stack), *doubled))
    long = [helper.make_node("Identity", [f"W{k}"], [f"W{k + 1}"]) for k in range(3000)]
    with pytest.raises(ArgumentError, match="W of layer 0 is an input of the model and no weight of it"):
        from_onnx(through(model_of(stack), *long))
    loop = helper.make_node("Loop", ["W0"], ["looped"])
    with pytest.raises(ArgumentError, match="W of layer 0 is an input of the model and no weight of it"):
        from_onnx(through(model_of(stack), loop))


def test_weights_that_are_cut_short() -> None:
    model = model_of(to_onnx_weights(random_layer("gru")))
    next(t for t in model.graph.initializer if t.name == "R0").raw_data = b"1234"
    with pytest.raises(ArgumentError, match="the model's values for 'R0' are damaged"):
        from_onnx(model)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(DataError, match=r"text.onnx: this is not an ONNX model \("):
        from_onnx(tmp_path / "text.onnx")
    with pytest.raises(DataError, match=r"absent.onnx: there is no such file; give an ONNX model"):
        from_onnx(tmp_path / "absent.onnx")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "none", [], [])
    with pytest.raises(ArgumentError, match="the model has no RNN, GRU or LSTM node"):
        from_onnx(helper.make_model(graph))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: ur.Recurrent(ur.cells.SLSTM(), 3, 4), "no node of ONNX has the equations of SLSTM"),
        (lambda: ur.Recurrent(ur.cells.ProjectedLSTM(), 3, 4), "no node of ONNX has the equations of ProjectedLSTM"),
        (lambda: ur.Recurrent(ur.cells.GRU(), 4, 4, structure=ur.Structure(residual=True)), "residual sums"),
    ],
)
def test_what_the_nodes_have_no_place_for(layer: Callable[[], ur.Recurrent], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        to_onnx_weights(layer())
