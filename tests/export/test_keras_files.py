from __future__ import annotations

import builtins
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import unrolled as ur
from unrolled.errors import ArgumentError, DataError, EngineError
from unrolled.export import from_keras_file, to_keras

GOLDEN = Path(__file__).parent / "golden"
FEATURES, UNITS = 3, 4


def test_a_file_that_keras_wrote() -> None:
    golden = load_file(GOLDEN / "keras.safetensors")
    layer = from_keras_file(GOLDEN / "model.keras")
    found = layer(torch.as_tensor(golden["x"]))[0].detach().numpy()
    np.testing.assert_allclose(found, golden["file/y"], rtol=0, atol=1e-5)


def entry(kind: str, name: str, **settings: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **settings}}


def both_ways(kind: str, name: str, merge_mode: str = "concat", **settings: Any) -> dict[str, Any]:
    return entry("Bidirectional", name, merge_mode=merge_mode, layer=entry(kind, f"forward_{name}", **settings))


def write(path: Path, entries: list[dict[str, Any]], groups: dict[str, list[np.ndarray]], **options: Any) -> Path:
    """A .keras file as Keras 3 writes it; `options` change what goes into it."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for group, arrays in groups.items():
            for i, value in enumerate(arrays):
                file.create_dataset(f"layers/{group}/cell/vars/{i}", data=value, **options.get("dataset", {}))
    config = options.get(
        "config", {"class_name": "Sequential", "config": {"layers": entries, **options.get("more", {})}}
    )
    with zipfile.ZipFile(path, "w", options.get("packing", zipfile.ZIP_STORED)) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return path


def stack(cell: str = "lstm", **options: Any) -> tuple[ur.Recurrent, list[np.ndarray]]:
    """Two layers of ours with their arrays in Keras's form."""
    layer = ur.Recurrent(ur.cells.by_name(cell), FEATURES, UNITS, layers=2, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer, to_keras(layer)


def same(layer: ur.Recurrent, other: ur.Recurrent) -> None:
    assert layer.program == other.program
    for name, value in layer.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("cell", "kind", "group"),
    [("lstm", "LSTM", "lstm"), ("gru", "GRU", "gru"), ("rnn", "SimpleRNN", "simple_rnn")],
)
def test_a_stack_whose_groups_keras_counts_by_class(cell: str, kind: str, group: str, tmp_path: Path) -> None:
    layer, arrays = stack(cell)
    entries = [
        entry("InputLayer", "input"),
        entry("Dense", "before"),
        entry(kind, "first"),
        entry("Dropout", "d"),
        entry(kind, "second"),
        entry("Dense", "after"),
    ]
    path = write(tmp_path / "m.keras", entries, {group: arrays[:3], f"{group}_1": arrays[3:]})
    same(from_keras_file(path), layer)


def test_a_stack_of_both_directions(tmp_path: Path) -> None:
    layer, arrays = stack("gru-reset-before", bidirectional=True)
    places = [
        f"{one}/{way}" for one in ("bidirectional", "bidirectional_1") for way in ("forward_layer", "backward_layer")
    ]
    groups = {place: arrays[3 * i : 3 * i + 3] for i, place in enumerate(places)}
    entries = [both_ways("GRU", name, reset_after=False) for name in ("a", "b")]
    same(from_keras_file(write(tmp_path / "m.keras", entries, groups)), layer)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # keras's own saving
def test_a_file_that_keras_writes_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="keras is not installed; a golden file made by it is read instead")
    kinds = [keras.layers.GRU(UNITS, return_sequences=True, activation="softsign") for _ in range(2)]
    model = keras.Sequential([keras.layers.Input((None, FEATURES)), kinds[0], keras.layers.Dropout(0.1), kinds[1]])
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(4).standard_normal((2, 5, FEATURES)).astype(np.float32)
    found = from_keras_file(tmp_path / "m.keras")(torch.as_tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(found, np.asarray(model(x).detach()), rtol=0, atol=1e-5)


def test_layers_that_are_chosen_by_name(tmp_path: Path) -> None:
    layer, arrays = stack("lstm")
    groups = {"lstm": arrays[:3], "lstm_1": arrays[3:]}
    entries = [entry("LSTM", "a"), entry("Dense", "between"), entry("LSTM", "b", activation="relu")]
    path = write(tmp_path / "m.keras", entries, groups)
    with pytest.raises(ArgumentError, match="the recurrent layers a, b are not one stack; choose with layers="):
        from_keras_file(path)
    with pytest.raises(ArgumentError, match="the layers a, b have different settings"):
        from_keras_file(path, layers=["a", "b"])
    with pytest.raises(ArgumentError, match="no recurrent layer 'c', but a, b"):
        from_keras_file(path, layers=["c"])
    assert from_keras_file(path, layers=["b"]).input_size == UNITS
    found = from_keras_file(path, layers=["a"])
    assert torch.equal(found.layers[0].forwards.W, layer.layers[0].forwards.W)
    functional = write(tmp_path / "f.keras", [entries[0], entries[2]], groups, more={"input_layers": []})
    with pytest.raises(ArgumentError, match="are not one stack"):
        from_keras_file(functional)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: both_ways("LSTM", "a", "sum"), "a puts its directions together by 'sum', but a Recurrent by 'concat'"),
        (lambda: both_ways("ConvLSTM1D", "a"), "a has a ConvLSTM1D inside, but SimpleRNN, LSTM or GRU is needed"),
        (lambda: entry("GRU", "a", go_backwards=True), "a reads from the end alone"),
        (lambda: entry("GRU", "a", activation={"class_name": "mine"}), "a has the activation {'class_name': 'mine'}"),
        (lambda: entry("GRU", "a", activation="mish"), "the activation 'mish' is none of"),
        (lambda: entry("Dense", "a"), "the model has no SimpleRNN, LSTM or GRU"),
    ],
)
def test_layers_that_a_recurrent_cannot_hold(made: Callable[[], dict[str, Any]], said: str, tmp_path: Path) -> None:
    _, arrays = stack("gru")
    with pytest.raises(ArgumentError, match=said):
        from_keras_file(write(tmp_path / "m.keras", [made()], {"gru": arrays[:3]}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"packing": zipfile.ZIP_DEFLATED}, "config.json is packed, which Keras does not do"),
        ({"dataset": {"compression": "gzip"}}, "the arrays of layers/lstm/cell/vars are packed or cut short"),
        ({"config": {"config": {"layers": [{"class_name": "LSTM"}]}}}, "config.json does not describe a model"),
        ({"config": {"config": ["layers"]}}, "config.json does not describe a model"),
        ({"config": []}, "m.keras: this is no .keras file"),
    ],
)
def test_damaged_files(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    _, arrays = stack()
    path = write(tmp_path / "m.keras", [entry("LSTM", "a")], {"lstm": arrays[:3]}, **options)
    with pytest.raises(DataError, match=said):
        from_keras_file(path)


def test_an_array_that_is_promised_and_not_there(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", shape=(2**20, 2**20), dtype="f4")
    path = write(tmp_path / "m.keras", [entry("LSTM", "a")], {})
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", buffer.getvalue())
    with pytest.raises(DataError, match="the arrays of layers/lstm/cell/vars are packed or cut short"):
        from_keras_file(path)


def test_what_is_no_keras_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.keras: there is no such file"):
        from_keras_file(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(DataError, match=r"text.keras: this is no .keras file \(.*\); write one with model.save"):
        from_keras_file(tmp_path / "text.keras")
    with pytest.raises(DataError, match="the weights of layers/lstm/cell/vars cannot be read"):
        from_keras_file(write(tmp_path / "m.keras", [entry("LSTM", "a")], {}))


def test_without_h5py_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    own = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return own(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(
        EngineError, match=r"needs h5py, which is not installed; run \"pip install 'unrolled\[keras\]'\""
    ):
        from_keras_file("model.keras")
