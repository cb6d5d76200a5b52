"""The state of a layer: a tuple over layers of a tuple over directions of named tuples, batch first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Program, Sizes
from unrolled.errors import ArgumentError

State = tuple[tuple[Any, ...], ...]


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to every tensor of a state, or to those of several states together, as in detaching a state."""
    return tuple(
        tuple(type(same[0])(*map(function, *same)) for same in zip(*layers, strict=True))
        for layers in zip(*states, strict=True)
    )


def where_state(rows: Tensor, first: State, second: State) -> State:
    """Rows (B,) that are true take their state from `first`, the others from `second`."""
    return map_state(lambda a, b: torch.where(rows[:, None], a, b), first, second)


def check_state(state: Any, program: Program, sizes: list[list[Sizes]], batch: int) -> State:
    """ArgumentError unless `state` has the layers, directions, names and shapes of the layer it was given to."""
    if len(state) != len(sizes) or any(len(s) != len(z) for s, z in zip(state, sizes, strict=True)):
        raise ArgumentError(
            f"the state has {len(state)} layers, but the layer has {len(sizes)} with {len(sizes[0])} directions each; "
            "give what an earlier call or layer.initial_state(batch) returned."
        )
    checked = []
    for i, (given, wanted) in enumerate(zip(state, sizes, strict=True)):
        checked.append(tuple(_one(s, program, z, batch, i) for s, z in zip(given, wanted, strict=True)))
    return tuple(checked)


def _one(state: Any, program: Program, sizes: Sizes, batch: int, layer: int) -> Any:
    shapes = {name: (batch, sizes.of(width)) for name, width in program.state.items()}
    given = [tuple(s.shape) if isinstance(s, Tensor) else s for s in state]
    if given != list(shapes.values()):
        wanted = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ArgumentError(f"the state of layer {layer} has the shapes {given}, but it needs {wanted}.")
    return program.state_type(*state)
