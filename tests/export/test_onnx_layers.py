"""Layers as ONNX models: every cell, one layer and two in both directions, ragged rows, other sizes than were tried."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

import unrolled as ur
from unrolled import cells
from unrolled.cell import OPERATIONS, Cell, state, tanh, trace, vector
from unrolled.errors import ArgumentError, EngineError, ExportError, RunError
from unrolled.export.to_onnx.native import native
from unrolled.export.to_onnx.operations import ONNX
from unrolled.export.to_onnx.samples import SIZES
from unrolled.export.to_onnx.verify import open_session
from unrolled.layers import Recurrent, Regularisation, Structure
from unrolled.tasks.cells import load_cell

OTHER_SIZES = ((4, 6), (3, 17))
VARIANTS: dict[str, Cell] = {name: cells.by_name(name) for name in cells.names()} | {
    "slstm-2-heads": cells.SLSTM(heads=2),
    "slstm-exponential": cells.SLSTM(exponential_forget=True),
    "gru-layernorm-together": cells.LayerNormGRU(together=True),
    **{
        f"elman-{name}": cells.Elman(name)
        for name in ("softplus", "elu", "gelu", "hard_sigmoid", "softsign", "identity")
    },
}
NATIVE = {
    "rnn": "RNN",
    "rnn-sigmoid": "RNN",
    "rnn-relu": "RNN",
    "lstm": "LSTM",
    "lstm-peephole": "LSTM, peepholes",
    "lstm-coupled": "LSTM, input_forget",
    "gru": "GRU, linear_before_reset",
    "gru-reset-before": "GRU",
    "elman-elu": "RNN",
    "elman-hard_sigmoid": "RNN",
    "elman-softsign": "RNN",
    "elman-identity": "RNN",
}


def random_layer(cell: Any, hidden: int = 6, **options: Any) -> Recurrent:
    """A layer whose biases, gains and peepholes are not at their constants, computed by the reference."""
    torch.manual_seed(3)
    layer = Recurrent(cell, 4, hidden, **options).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    layer.engine = "reference"
    return layer


def feeds(layer: Recurrent, batch: int, steps: int) -> tuple[Tensor, Tensor, Any, dict[str, Any]]:
    """Input with NaN past each row's end, lengths with a row without steps, a state, and all of it for ONNX Runtime."""
    x, lengths = torch.randn(batch, steps, 4), torch.randint(1, steps + 1, (batch,))
    lengths[batch // 2] = 0
    for row, length in enumerate(lengths):
        x[row, length:] = float("nan")
    start = ur.layers.map_state(lambda part: part + 0.3 + 0.1 * torch.rand_like(part), layer.initial_state(batch))
    given = {"x": x.numpy(), "lengths": lengths.numpy()} | named(layer, start, "state")
    return x, lengths, start, given


def named(layer: Recurrent, of: Any, prefix: str) -> dict[str, Any]:
    sides = ("forward_", "backward_") if layer.bidirectional else ("",)
    return {
        f"{prefix}_{i}_{side}{name}": getattr(one, name).detach().numpy()
        for i, directions in enumerate(of)
        for side, one in zip(sides, directions, strict=True)
        for name in layer.program.state
    }


def assert_same(session: Any, given: dict[str, Any], wanted: dict[str, Any]) -> None:
    names = [output.name for output in session.get_outputs()]
    assert set(names) == set(wanted)
    for name, got in zip(names, session.run(names, given), strict=True):
        assert got.shape == wanted[name].shape
        scale = max(1.0, float(np.abs(wanted[name]).max()))
        np.testing.assert_allclose(got / scale, wanted[name] / scale, rtol=0, atol=1e-5, err_msg=name)


@torch.no_grad()
def agrees(layer: Recurrent, file: Path) -> None:
    session = open_session(file)
    assert not set(OTHER_SIZES) & set(SIZES)
    for batch, steps in OTHER_SIZES:
        x, lengths, start, given = feeds(layer, batch, steps)
        outputs, last = layer(x, start, lengths=lengths)
        assert_same(session, given, {"outputs": outputs.numpy()} | named(layer, last, "next"))


@pytest.mark.parametrize("deep", [False, True], ids=["one layer", "two layers bidirectional"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_cell_agrees_with_the_reference(name: str, deep: bool, tmp_path: Path) -> None:
    projected = Structure(output_size=4) if trace(VARIANTS[name]).projects else Structure()
    options: dict[str, Any] = {"layers": 2, "bidirectional": True} if deep else {}
    layer = random_layer(VARIANTS[name], structure=projected, **options)
    (written,) = ur.export.onnx(layer, tmp_path / "layer.onnx").files
    assert written.method == NATIVE.get(name, "Scan")
    agrees(layer, written.path)


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm-projected", "slstm", "mgu"])
@torch.no_grad()
def test_steps_folded_are_the_whole(name: str, tmp_path: Path) -> None:
    layer = random_layer(cells.by_name(name), layers=2)
    found = ur.export.onnx(layer, tmp_path)
    step = open_session(tmp_path / "step.onnx")
    assert [file.path.name for file in found.files] == ["model.onnx", "step.onnx"]
    x, start = torch.randn(3, 8, 4), layer.initial_state(3)
    wanted, last = layer(x, start)
    states = json.loads((tmp_path / "manifest.json").read_text())["states"]
    carried = {name: np.full(one["shape"], one["start"], one["type"]) for name, one in states.items()}
    for t in range(8):
        after = dict(
            zip((o.name for o in step.get_outputs()), step.run(None, {"x": x[:, t].numpy()} | carried), strict=True)
        )
        np.testing.assert_allclose(after["outputs"], wanted[:, t], atol=1e-5)
        carried = {name: after[one["becomes"]] for name, one in states.items()}
    for name, value in named(layer, last, "state").items():
        np.testing.assert_allclose(carried[name], value, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "slstm"])
@pytest.mark.parametrize("both", [False, True])
def test_norms_residuals_learned_starts_and_dropout(name: str, both: bool, tmp_path: Path) -> None:
    rates = Regularisation(layer_norm=True, recurrent_dropout=0.3, zoneout=0.1 if both else 0.0, dropout=0.2)
    structure = Structure(residual=True, learned_start=True)
    options = {"layers": 3, "bidirectional": both, "regularisation": rates, "structure": structure}
    layer = random_layer(
        cells.by_name(name), 2 if both else 4, **options
    )  # so wide that the first layer is residual too
    (written,) = ur.export.onnx(layer, tmp_path / "layer.onnx").files
    # Zoneout mixes the states, so in evaluation too the cell is no LSTM any more.
    assert written.method == ("LSTM" if name == "lstm" and not both else "Scan")
    agrees(layer, written.path)


OWN = """
from dataclasses import dataclass
from typing import Any
from unrolled import Cell, state, vector
from unrolled.cell import layer_norm, relu, tanh, where

@dataclass(frozen=True)
class Mine(Cell):
    gates = ("a", "b")
    state = state(h="output", m="hidden", last="hidden")
    vectors = {"v": vector(0.2)}

    def update(self, x, u, s, p):
        m = where(x.a + u.a > 0, s.m, tanh(x.a)) + p.v * relu(u("b", layer_norm(s.m)))
        h = tanh(m - s.last) * abs(x.b)
        return h, self.next(h=h, m=m, last=p.v)
"""


@pytest.mark.parametrize("deep", [False, True])
def test_a_cell_of_ones_own_from_a_file(deep: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    options: dict[str, Any] = {"layers": 2, "bidirectional": True} if deep else {}
    layer = random_layer(load_cell(f"{tmp_path / 'mine.py'}:Mine"), **options)
    found = ur.export.onnx(layer, tmp_path / "out")
    assert {file.method for file in found.files} == {"Scan"}
    agrees(layer, tmp_path / "out" / "model.onnx")


def test_a_copy_of_a_known_cell_is_recognised_by_its_equations() -> None:
    class Renamed(Cell):
        gates = ("candidate", "output", "inner", "keep")
        state = state(shown="output", kept="hidden")
        vectors = {"c": vector(), "b": vector(), "a": vector()}

        def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
            inner = ur.cell.sigmoid(p.a * s.kept + x.inner + u.inner)
            kept = ur.cell.sigmoid(u.keep + x.keep + s.kept * p.b) * s.kept + tanh(x.candidate + u.candidate) * inner
            shown = tanh(kept) * ur.cell.sigmoid(p.c * kept + x.output + u.output)
            return shown, self.next(shown=shown, kept=kept)

    found = native(trace(Renamed()))
    assert found is not None
    assert found.gates == ("inner", "output", "keep", "candidate")
    assert (found.peepholes, found.state) == (("a", "c", "b"), ("shown", "kept"))


def test_coupling_needs_a_sigmoid() -> None:
    class Other(Cell):
        gates = ("f", "g", "o")
        state = state(h="output", c="hidden")

        def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
            f = tanh(x.f + u.f)
            c = f * s.c + (1 - f) * tanh(x.g + u.g)
            h = tanh(x.o + u.o) * tanh(c)
            return h, self.next(h=h, c=c)

    assert native(trace(Other())) is None


def test_the_map_covers_the_operation_table() -> None:
    assert set(ONNX) == set(OPERATIONS)


def test_batch_and_time_are_free_and_everything_has_its_name(tmp_path: Path) -> None:
    layer = random_layer(cells.LSTM(), layers=2, bidirectional=True)
    (written,) = ur.export.onnx(layer, tmp_path / "deep" / "layer.onnx").files
    model = onnx.load(written.path)
    onnx.checker.check_model(model, full_check=True)
    inputs = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    assert inputs["x"] == ["batch", "steps", 4]
    assert inputs["lengths"] == ["batch"]
    assert inputs["state_1_backward_c"] == ["batch_or_1", 6]
    assert [node.op_type for node in model.graph.node].count("LSTM") == 2
    assert {one.version for one in model.opset_import} == {18}


def test_a_file_that_answers_otherwise_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = random_layer(cells.GRU())
    ur.export.onnx(layer, tmp_path / "layer.onnx")
    monkeypatch.setitem(ONNX, "sigmoid", lambda a: a.graph.add("HardSigmoid", a))
    ur.export.onnx(layer, tmp_path / "layer.onnx")  # the native node asks nobody
    sentence = (
        r"scan\.onnx was written and deleted again, because its output 'outputs' for inputs of 2 x 9 differs "
        r"from ours by \d.* where ours is"
    )
    with pytest.raises(ExportError, match=sentence):
        ur.export.onnx(random_layer(cells.MinimalGated()), tmp_path / "scan.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["layer.onnx"]


def test_an_earlier_file_goes_too_when_its_successor_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = random_layer(cells.JANET())
    ur.export.onnx(layer, tmp_path)
    monkeypatch.setitem(ONNX, "tanh", lambda a: a.graph.add("Softsign", a))
    with pytest.raises(ExportError):
        ur.export.onnx(layer, tmp_path)
    assert not (tmp_path / "model.onnx").exists()


def test_int8_weights_take_a_quarter_and_are_those_of_a_rounded_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = Recurrent(cells.LayerNormLSTM(), 30, 60, layers=2)
    layer.engine = "reference"
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    plain, small = ur.export.onnx(layer, tmp_path / "f"), ur.export.onnx(layer, tmp_path / "i", int8=True)
    assert small.files[0].bytes < 0.35 * plain.files[0].bytes
    assert small.files[0].largest[1] < 1e-5  # beside the network whose weights were rounded
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    x = torch.randn(2, 5, 30)
    given = {"x": x.numpy(), "lengths": np.array([5, 3])} | named(layer, layer.initial_state(2), "state")
    with torch.no_grad():
        wanted = layer(x, lengths=torch.tensor([5, 3]))[0].numpy()
    apart = np.abs(open_session(tmp_path / "i" / "model.onnx").run(["outputs"], given)[0] - wanted).max()
    assert 1e-4 < apart < 0.1
    kinds = {
        onnx.TensorProto.DataType.Name(one.data_type)
        for one in onnx.load(tmp_path / "i" / "model.onnx").graph.initializer
    }
    assert "INT8" in kinds


def test_a_layer_in_training_and_in_float64_is_exported_as_it_answers(tmp_path: Path) -> None:
    layer = random_layer(cells.UGRNN(), regularisation=Regularisation(dropout=0.5, weight_drop=0.5)).double().train()
    (written,) = ur.export.onnx(layer, tmp_path / "layer.onnx").files
    assert layer.training and layer.stack[0].forwards.W.dtype == torch.float64
    agrees(random_layer(cells.UGRNN()), written.path)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_libraries_one_sentence_names_the_extra(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *more: Any, **options: Any) -> Any:
        if name == missing:
            raise ImportError(name)
        return original(name, *more, **options)

    monkeypatch.setattr("importlib.import_module", lambda name: without(name) if name == missing else __import__(name))
    with pytest.raises(EngineError, match=r"which are not installed; run \"pip install 'unrolled\[export\]'\""):
        ur.export.onnx(random_layer(cells.LSTM()), tmp_path / "layer.onnx")
    assert not list(tmp_path.iterdir())


def test_other_things_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="a LSTM cannot be exported; give"):
        ur.export.onnx(torch.nn.LSTM(3, 4), tmp_path)
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(RunError, match=r"is there and holds something else than an export; choose another --out\."):
        ur.export.onnx(random_layer(cells.LSTM()), tmp_path)
    with pytest.raises(RunError, match=r"thesis.txt could not be made"):
        ur.export.onnx(random_layer(cells.LSTM()), tmp_path / "thesis.txt")
