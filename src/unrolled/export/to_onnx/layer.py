"""A `Recurrent` layer as two models: one for whole sequences, one for a single step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from unrolled.export.to_onnx.graph import FLOAT, Graph
from unrolled.export.to_onnx.recurrent import (
    input_lengths,
    input_states,
    method,
    one_step,
    output_states,
    sequences,
    start_values,
    state_names,
)
from unrolled.export.to_onnx.verify import Arrays, Artifact, Carried, Sample
from unrolled.layers import Recurrent, State

# Rows and steps of the inputs that a file is tried with; none was seen when it was written.
SIZES = ((2, 9), (1, 1), (5, 14))
WHOLE, STEP = "model.onnx", "step.onnx"


def layer_artifacts(layer: Recurrent, *, int8: bool = False) -> list[Artifact]:
    """Both models, or the first alone where the layer reads in two directions."""
    found = [whole_layer(layer, WHOLE, int8=int8)]
    return found if layer.bidirectional else [*found, layer_step(layer, STEP, int8=int8)]


def layer_states(layer: Recurrent, prefix: str = "state", following: str = "next") -> dict[str, Carried]:
    """The inputs of the state with the outputs that they become."""
    pairs = zip(start_values(layer, prefix).items(), start_values(layer, following), strict=True)
    return {name: Carried(after, start) for (name, start), after in pairs}


def whole_layer(layer: Recurrent, file: str, *, int8: bool = False) -> Artifact:
    """Sequences: x (B, T, F), lengths (B,), states -> outputs (B, T, D * O), next states."""
    g = Graph(f"{layer.program.name} over sequences", int8=int8)
    x = g.input("x", FLOAT, ["batch", "steps", layer.input_size])
    lengths = input_lengths(g, x)
    outputs, after = sequences(g, layer, x, lengths, input_states(g, layer, x.size(0)))
    g.output("outputs", outputs, FLOAT, ["batch", "steps", layer.output_size])
    output_states(g, layer, after)
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            f"{rows} x {steps}",
            {
                "x": numbers(rng, rows, steps, layer.input_size),
                "lengths": ragged(rng, rows, steps),
                **random_states(rng, layer, rows),
            },
        )
        for rows, steps in SIZES
    ]

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        x, lengths = torch.from_numpy(given["x"]), torch.from_numpy(given["lengths"])
        outputs, state = layer(x, given_states(layer, given), lengths=lengths)
        return {"outputs": outputs.numpy(), **answered_states(layer, state)}

    return Artifact(file, g, samples, answer, method(layer))


def layer_step(layer: Recurrent, file: str, *, int8: bool = False) -> Artifact:
    """One step: x (B, F), states -> outputs (B, O), next states."""
    g = Graph(f"{layer.program.name}, one step", int8=int8)
    x = g.input("x", FLOAT, ["batch", layer.input_size])
    outputs, after = one_step(g, layer, x, input_states(g, layer, x.size(0)))
    g.output("outputs", outputs, FLOAT, ["batch", layer.output_size])
    output_states(g, layer, after)
    rng = np.random.default_rng(1)
    samples = [
        Sample(f"{rows}", {"x": numbers(rng, rows, layer.input_size), **random_states(rng, layer, rows)})
        for rows, _ in SIZES
    ]

    @torch.no_grad()
    def answer(given: Arrays) -> Arrays:
        outputs, state = layer.step(torch.from_numpy(given["x"]), given_states(layer, given))
        return {"outputs": outputs.numpy(), **answered_states(layer, state)}

    return Artifact(file, g, samples, answer, method(layer))


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Standard normal float32."""
    return rng.standard_normal(shape).astype(np.float32)


def ragged(rng: np.random.Generator, rows: int, steps: int, least: int = 0) -> np.ndarray:
    """Lengths (B,) int64: the first full, the last of several the least."""
    found = rng.integers(max(least, 1), steps + 1, rows)
    found[0] = steps
    if rows > 1:
        found[-1] = least
    return found.astype(np.int64)


def random_states(
    rng: np.random.Generator, layer: Recurrent, rows: int, prefix: str = "state"
) -> dict[str, np.ndarray]:
    """States somewhere near the initial one, by the names of the inputs.

    Added to each is a little more than 0, because a normaliser divides.
    """
    start = layer.initial_state(rows)
    return {
        name: getattr(start[i][k], state).detach().numpy()
        + rng.uniform(0.1, 0.9, (rows, getattr(start[i][k], state).shape[1])).astype(np.float32)
        for i, sides in enumerate(state_names(layer, prefix))
        for k, names in enumerate(sides)
        for state, name in names.items()
    }


def given_states(layer: Recurrent, given: Arrays, prefix: str = "state") -> State:
    """The inputs of the state as the layer takes them."""
    kind = layer.program.state_type
    return tuple(
        tuple(kind(*(torch.from_numpy(given[name]) for name in names.values())) for names in sides)
        for sides in state_names(layer, prefix)
    )


def answered_states(layer: Recurrent, state: State, prefix: str = "next") -> dict[str, np.ndarray]:
    """The layer's own state by the names of the outputs."""
    sides: Sequence[Sequence[dict[str, str]]] = state_names(layer, prefix)
    return {
        name: getattr(state[i][k], part).numpy()
        for i, one in enumerate(sides)
        for k, names in enumerate(one)
        for part, name in names.items()
    }
