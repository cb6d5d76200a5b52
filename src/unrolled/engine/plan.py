"""What an engine is asked to do, without the numbers: enough to decide, to compile and to explain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd import forward_ad

from unrolled.cell import Program, Sizes
from unrolled.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Plan:
    """One call of `scan`: B rows, T steps (`ragged`: rows end early), and whether gradients are wanted.

    `transformed`: inside vmap, or with the tangents of forward-mode differentiation.
    """

    program: Program
    sizes: Sizes
    batch: int
    steps: int
    dtype: torch.dtype
    device: torch.device
    has_input: bool = True
    ragged: bool = False
    reverse: bool = False
    gradient: bool = False
    noise: bool = False
    transformed: bool = False
    capture: tuple[str, ...] = ()


plan_of = lru_cache(maxsize=1024)(Plan)
"""An equal plan is the same object: a table is then looked up by it without comparing all its parts."""


@dataclass
class Capture:
    """Asks `scan` for values at every step: names of gates and states go in, tensors (B, T, H) come out.

    A gate's value is that of the operation which consumes it (after its sigmoid or tanh). A state named like a gate
    comes before it.
    """

    names: tuple[str, ...]
    values: dict[str, Tensor] = field(default_factory=dict)

    def __init__(self, *names: str) -> None:
        self.names, self.values = names, {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.values:
            raise ArgumentError(f"{name!r} was not captured; there are {', '.join(self.values) or 'no values yet'}.")
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def nodes(self, program: Program) -> dict[str, int]:
        """Which node of the program each name stands for."""
        found = {}
        following = dict(zip(program.state, program.next, strict=True))
        for name in self.names:
            index = following.get(name, program.gate_values.get(name, -1))
            if index < 0:
                there = ", ".join(dict.fromkeys((*program.state, *program.gates)))
                raise ArgumentError(f"{program.name} has no gate or state {name!r} to capture, but {there}.")
            found[name] = index
        return found


def looked_into(tensors: tuple[Tensor, ...]) -> bool:
    """Whether vmap or forward-mode differentiation looks into this call, which only the reference lets them."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)  # type: ignore[no-untyped-call]  # torch's own
