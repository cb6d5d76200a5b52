"""The recurrent layers of a `.keras` file, a zip of JSON and HDF5, read without Keras; nothing in it is executed."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import ArgumentError, DataError, EngineError
from unrolled.export.weights.keras import from_keras
from unrolled.layers import Recurrent

_CLASSES = ("SimpleRNN", "LSTM", "GRU")
# What may stand between two layers of one stack: in evaluation they pass on what they are given.
_PASSING = ("Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D")
# What h5py and zipfile raise for damaged files.
_DAMAGE = (zipfile.BadZipFile, OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, EOFError)


def from_keras_file(path: str | Path, *, layers: Sequence[str] | None = None) -> Recurrent:
    """A layer with the weights and settings of the recurrent layers in a file that `model.save("x.keras")` wrote.

    `layers` names those that are wanted, first to last, where the model is not Sequential with one stack of them.
    Raises ArgumentError for layers that a `Recurrent` cannot hold, DataError for a file that cannot be read,
    EngineError where h5py is not installed.
    """
    config, weights = _opened(path)
    try:
        there = _recurrent_layers(config)
        chosen = _chosen(config, there, layers)
        settings = [_settings(name, *there[name][:2]) for name in chosen]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"config.json does not describe a model of Keras 3 ({error!r}).", path) from None
    if any(other != settings[0] for other in settings):
        raise ArgumentError(
            f"the layers {', '.join(chosen)} have different settings, but a Recurrent has one cell for all; "
            "choose equal ones with layers=[...]."
        )
    arrays = [_arrays(weights, there[name][2], path) for name in chosen]
    return from_keras(arrays, **settings[0])


def _opened(path: str | Path) -> tuple[Mapping[str, Any], Any]:
    """The configuration and the open HDF5 file."""
    try:
        import h5py
    except ImportError:
        raise EngineError(
            "reading a .keras file needs h5py, which is not installed; run \"pip install 'unrolled[keras]'\"."
        ) from None
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(_stored(archive, "config.json"))
            return config["config"], h5py.File(io.BytesIO(_stored(archive, "model.weights.h5")), "r")
    except FileNotFoundError:
        raise DataError("there is no such file; give a .keras file.", path) from None
    except _DAMAGE as error:
        raise DataError(f"this is no .keras file ({error}); write one with model.save('model.keras').", path) from None


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    # Keras packs nothing, so what would grow when it is unpacked was made by somebody else.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is packed, which Keras does not do")
    return archive.read(name)


def _recurrent_layers(config: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any], str]]:
    """Class, settings and group in the HDF5 file of each recurrent layer, by its name."""
    found, counts = {}, dict[str, int]()
    for layer in config.get("layers", ()):
        kind, name = str(layer["class_name"]), str(layer["config"]["name"])
        # Keras names the groups by class, and counts.
        group = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", kind)).lower()
        number = counts.get(group, 0)
        counts[group] = number + 1
        if kind in (*_CLASSES, "Bidirectional"):
            found[name] = (kind, layer["config"], f"layers/{group}_{number}" if number else f"layers/{group}")
    return found


def _chosen(config: Mapping[str, Any], there: Mapping[str, Any], wanted: Sequence[str] | None) -> list[str]:
    names = ", ".join(there) or "none"
    if wanted is not None:
        missing = [name for name in wanted if name not in there]
        if missing or not wanted:
            raise ArgumentError(f"the model has no recurrent layer {(missing or [''])[0]!r}, but {names}.")
        return list(wanted)
    if not there:
        raise ArgumentError("the model has no SimpleRNN, LSTM or GRU, alone or in a Bidirectional.")
    places = [i for i, layer in enumerate(config["layers"]) if layer["config"]["name"] in there]
    between = config["layers"][places[0] : places[-1]]
    sequential = "input_layers" not in config
    if len(there) > 1 and not (sequential and all(x["class_name"] in (*_PASSING, *_kinds(there)) for x in between)):
        raise ArgumentError(f"the recurrent layers {names} are not one stack; choose with layers=[...] of these.")
    return list(there)


def _kinds(there: Mapping[str, Any]) -> set[str]:
    return {kind for kind, _, _ in there.values()}


def _settings(name: str, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `from_keras` for one layer."""
    both = kind == "Bidirectional"
    if both and config.get("merge_mode") != "concat":
        raise ArgumentError(
            f"{name} puts its directions together by {config.get('merge_mode')!r}, but a Recurrent by 'concat' alone."
        )
    inner = config["layer"]["config"] if both else config
    if (config["layer"]["class_name"] if both else kind) not in _CLASSES:
        raise ArgumentError(
            f"{name} has a {config['layer']['class_name']} inside, but SimpleRNN, LSTM or GRU is needed."
        )
    if inner.get("go_backwards"):
        raise ArgumentError(f"{name} reads from the end alone, but a Recurrent reads forwards or both ways.")
    found = {key: inner[key] for key in ("activation", "recurrent_activation", "reset_after") if key in inner}
    for key, value in found.items():
        if not isinstance(value, (str, bool)):
            raise ArgumentError(f"{name} has the {key} {value!r:.60}, which is not the name of one of Keras's own.")
    return {"bidirectional": both, **found}


def _arrays(weights: Any, group: str, path: str | Path) -> list[np.ndarray]:
    """The arrays of a layer in the order of `get_weights()`."""
    found: list[np.ndarray] = []
    for part in ("forward_layer/", "backward_layer/") if "bidirectional" in group else ("",):
        place = f"{group}/{part}cell/vars"
        try:
            stored = weights[place]
            sets = [stored[str(i)] for i in range(len(stored))]
            # A header may promise more numbers than are there.
            if any(one.id.get_storage_size() != one.size * one.dtype.itemsize for one in sets):
                raise DataError(f"the arrays of {place} are packed or cut short; write the file with model.save.", path)
            found += [one[()] for one in sets]
        except _DAMAGE as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"the weights of {place} cannot be read ({error}).", path) from None
    return found
