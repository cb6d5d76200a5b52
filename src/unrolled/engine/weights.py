"""The parameters of one layer and direction, and the state that goes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from unrolled.cell import Program, Sizes
from unrolled.engine.packed import Packed, packed_uniform
from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class Weights:
    """W (G*H, F), U (K*H, O / heads), b (G*H,), recurrent bias c (C*H,), vectors (H,) and products (to, from) by name.

    G gates in the cell's order; K of them have a recurrent product, C of them a recurrent bias. A missing bias is 0.
    """

    W: Tensor
    U: Tensor | None = None
    b: Tensor | None = None
    c: Tensor | None = None
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    products: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, named: Mapping[str, Tensor]) -> Weights:
        """From the names of `Program.parameters`: "W", "U", "b", "c", "vectors.NAME", "products.NAME"."""

        def group(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}

        return cls(named["W"], named.get("U"), named.get("b"), named.get("c"), group("vectors."), group("products."))

    def as_dict(self) -> dict[str, Tensor]:
        """The tensors that are there, under the names of `Program.parameters`."""
        return dict(self.named)

    @cached_property
    def named(self) -> dict[str, Tensor]:
        """`as_dict`, made once: not to be changed."""
        single = {name: value for name in ("W", "U", "b", "c") if (value := getattr(self, name)) is not None}
        vectors = {f"vectors.{k}": v for k, v in self.vectors.items()}
        return single | vectors | {f"products.{k}": v for k, v in self.products.items()}

    @cached_property
    def laid_out(self) -> dict[type[Any], Any]:
        """What an engine has prepared for these tensors, by its kind; it goes with them."""
        return {}

    def addresses(self) -> list[int]:
        """Where the tensors lie."""
        return [value.data_ptr() for value in self.named.values()]

    def hold(self, value: Tensor) -> bool:
        """Whether a tensor begins inside one of these."""
        starts = ((t.data_ptr(), t.nbytes) for t in self.named.values())
        return any(start <= value.data_ptr() < start + size for start, size in starts)

    def __getstate__(self) -> dict[str, Any]:
        """The tensors, without what was made of them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def recurrent(self) -> Tensor:
        """U where a cell must have it; ArgumentError where it is missing."""
        if self.U is None:
            raise ArgumentError(
                "the weights have no U, but the cell multiplies its state by it; give U (K*H, O / heads)."
            )
        return self.U

    def sizes(self, program: Program) -> Sizes:
        """The sizes that these weights have, checked against the program; ArgumentError names what does not fit."""
        return _sizes(program, tuple([(name, value.shape) for name, value in self.named.items()]))


@lru_cache(maxsize=256)
def _sizes(program: Program, shapes: tuple[tuple[str, torch.Size], ...]) -> Sizes:
    given = dict(shapes)
    rows, *width = given["W"]
    hidden = rows // len(program.gates)
    if len(width) != 1 or hidden < 1 or rows % len(program.gates):
        raise ArgumentError(
            f"W has the shape {tuple(given['W'])}, but {program.name} needs (G*H, F), with {len(program.gates)} gates."
        )
    output = hidden
    for name, (of, to) in program.products.items():
        if of != to and f"products.{name}" in given:
            output = given[f"products.{name}"][0 if to == "output" else 1]
    sizes = Sizes(width[0], hidden, output)
    for name, shape in program.parameters(sizes).items():
        if name not in given and name in ("b", "c"):
            continue
        if given.get(name) != shape:
            found = tuple(given[name]) if name in given else "missing"
            raise ArgumentError(f"the weight {name} of {program.name} is {found}, but its shape must be {shape}.")
    return sizes


def initial_state(program: Program, sizes: Sizes, batch: int, dtype: torch.dtype, device: torch.device) -> Any:
    """A state of zeros, each (B, H) or (B, O)."""
    return program.state_type(
        *(torch.zeros(batch, sizes.of(width), dtype=dtype, device=device) for width in program.state.values())
    )


def check_state(program: Program, sizes: Sizes, state: Any, batch: int) -> Any:
    """The state as the program's named tuple; ArgumentError where names or shapes do not fit."""
    values = tuple(state.values()) if isinstance(state, Mapping) else tuple(state)
    wanted = [(batch, sizes.of(width)) for width in program.state.values()]
    shapes = [tuple(v.shape) for v in values]
    if shapes != wanted:
        need = ", ".join(f"{n} {s}" for n, s in zip(program.state, wanted, strict=True))
        raise ArgumentError(f"the state given to {program.name} has the shapes {shapes}, but it needs {need}.")
    return program.state_type(*values)


def draw_noise(
    program: Program,
    sizes: Sizes,
    batch: int,
    steps: int,
    dtype: torch.dtype,
    device: torch.device,
    generator: torch.Generator | None = None,
    *,
    packed: bool = False,
) -> dict[str, Tensor | Packed]:
    """A value for each noise operand: (B, T, n) where it changes at every step, `packed` as bits; else (B, n)."""
    drawn: dict[str, Tensor | Packed] = {}
    for name, noise in program.noise.items():
        if packed and noise.frequency == "step":
            scale = torch.ones((), dtype=dtype, device=device) * noise.scale
            drawn[name] = packed_uniform(batch, steps, sizes.of(noise.size), noise.keep, scale)
            continue
        shape = (batch, steps) if noise.frequency == "step" else (batch,)
        keep = torch.rand(*shape, sizes.of(noise.size), dtype=dtype, device=device, generator=generator) < noise.keep
        drawn[name] = keep.to(dtype) * noise.scale
    return drawn
