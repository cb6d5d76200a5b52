"""Weights, an input and the outputs of the real Keras and Flax, which tests compare ours with where neither is there.

Needs keras on torch, and flax: `KERAS_BACKEND=torch python tools/make_golden_weights.py tests/export/golden`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax
import jax
import keras
import numpy as np
from flax import linen, nnx
from safetensors.numpy import save_file

FEATURES, UNITS, BATCH, STEPS = 3, 4, 2, 5
Case = tuple[str, dict[str, Any], dict[str, np.ndarray]]


def drawn(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers in float32."""
    return generator.standard_normal(shape).astype(np.float32)


def keras_cases(generator: np.random.Generator, x: np.ndarray) -> Iterator[Case]:
    """Every layer one way, both ways and in a stack of both, with biases and without; three with other activations."""
    layers = keras.layers
    kinds: dict[str, Callable[..., Any]] = {
        "LSTM": layers.LSTM,
        "GRU": layers.GRU,
        "GRU before": lambda *a, **k: layers.GRU(*a, reset_after=False, **k),
        "SimpleRNN": layers.SimpleRNN,
    }
    plans: list[tuple[str, int, bool, bool, dict[str, str]]] = []
    for kind in kinds:
        plans += [(kind, 1, False, True, {}), (kind, 1, True, True, {}), (kind, 2, True, True, {})]
        plans += [(kind, 1, False, False, {})]
    plans += [("LSTM", 1, False, True, {"activation": "relu", "recurrent_activation": "hard_sigmoid"})]
    plans += [("GRU", 1, False, True, {"activation": "softsign", "recurrent_activation": "hard_sigmoid"})]
    plans += [("LSTM", 1, False, True, {"activation": "leaky_relu", "recurrent_activation": "sigmoid"})]
    for kind, depth, both, bias, activations in plans:
        made = [kinds[kind](UNITS, return_sequences=True, use_bias=bias, **activations) for _ in range(depth)]
        stack = [layers.Bidirectional(layer) if both else layer for layer in made]
        model = keras.Sequential([layers.Input((None, FEATURES)), *stack])
        weights = [drawn(generator, w.shape) for w in model.get_weights()]
        model.set_weights(weights)
        name = f"{kind}, {depth} {'both ways' if both else 'one way'}{'' if bias else ', no bias'}"
        options = {"bidirectional": both, "reset_after": kind != "GRU before", **activations}
        arrays = {str(i): w for i, w in enumerate(weights)}
        yield " ".join([name, *activations.values()]), options, arrays | {"y": np.asarray(model(x).detach())}


def keras_file(generator: np.random.Generator, x: np.ndarray, path: Path) -> np.ndarray:
    """Write a model with one recurrent layer as a .keras file; what that layer makes of x."""
    settings = {"activation": "relu", "recurrent_activation": "hard_sigmoid", "return_sequences": True}
    recurrent = keras.layers.Bidirectional(keras.layers.LSTM(UNITS, **settings))
    model = keras.Sequential([keras.layers.Input((None, FEATURES)), recurrent, keras.layers.Dense(2)])
    model.set_weights([drawn(generator, w.shape) for w in model.get_weights()])
    model.save(path)
    return np.asarray(recurrent(x).detach())


def flax_cases(generator: np.random.Generator, x: np.ndarray) -> Iterator[Case]:
    """Every cell of both interfaces, one way and both ways."""
    for cell in ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"):
        for both in (False, True):
            way = "both ways" if both else "one way"
            make = getattr(linen, cell)
            one = linen.RNN(make(UNITS))
            model = linen.Bidirectional(one, linen.RNN(make(UNITS))) if both else one
            params = jax.tree.map(lambda a: drawn(generator, a.shape), model.init(jax.random.key(0), x)["params"])
            y = np.asarray(model.apply({"params": params}, x))
            yield f"linen {cell} {way}", {}, leaves(params) | {"y": y}

            def modern(cell: str = cell) -> nnx.RNN:
                return nnx.RNN(getattr(nnx, cell)(FEATURES, UNITS, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))

            network = nnx.Bidirectional(modern(), modern(), rngs=nnx.Rngs(0)) if both else modern()
            state = nnx.state(network, nnx.Param)
            pure = jax.tree.map(lambda a: drawn(generator, a.shape), nnx.to_pure_dict(state))
            nnx.replace_by_pure_dict(state, pure)
            nnx.update(network, state)
            yield f"nnx {cell} {way}", {}, leaves(pure) | {"y": np.asarray(network(x))}


def leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a nested dict under dotted names."""
    found: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def main() -> None:
    """Write keras.safetensors and flax.safetensors into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for library, version, cases in (
        ("keras", keras.__version__, keras_cases),
        ("flax", flax.__version__, flax_cases),
    ):
        generator = np.random.default_rng(20)
        x = drawn(generator, (BATCH, STEPS, FEATURES))
        tensors, options = {"x": x}, {}
        for name, chosen, arrays in cases(generator, x):
            options[name] = chosen
            tensors |= {f"{name}/{key}": np.ascontiguousarray(value) for key, value in arrays.items()}
        if library == "keras":
            tensors["file/y"] = keras_file(generator, x, folder / "model.keras")
        path = folder / f"{library}.safetensors"
        save_file(tensors, path, {"version": version, "options": json.dumps(options)})
        print(f"{path}: {len(options)} cases of {library} {version}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
