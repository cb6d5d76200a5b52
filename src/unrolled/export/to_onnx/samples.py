"""Inputs that a file is tried with: random numbers, ragged lengths and states of several rows and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from unrolled.export.to_onnx.recurrent import state_names
from unrolled.export.to_onnx.verify import Arrays, Sample
from unrolled.layers import Recurrent, State

# Rows and steps; none was seen when a file was written.
SIZES = ((2, 9), (1, 1), (5, 14))


def sequence_samples(make: Callable[[np.random.Generator, int, int], Arrays]) -> list[Sample]:
    """What `make` makes of so many rows and steps, for each of `SIZES`."""
    rng = np.random.default_rng(0)
    return [Sample(f"{rows} x {steps}", make(rng, rows, steps)) for rows, steps in SIZES]


def step_samples(make: Callable[[np.random.Generator, int], Arrays]) -> list[Sample]:
    """What `make` makes of so many rows."""
    rng = np.random.default_rng(1)
    return [Sample(f"{rows}", make(rng, rows)) for rows, _ in SIZES]


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
