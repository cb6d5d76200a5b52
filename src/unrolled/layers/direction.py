"""One cell's parameters in one layer and one direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.cell import Initial, Program, Sizes, initial_values
from unrolled.engine import Packed, Weights, draw_noise, initial_state

# Anything with the signature of `engine.scan`: the whole sequence at once, one step of it, or a chain of steps.
Scan = Callable[..., tuple[Tensor, Any]]


@dataclass(frozen=True)
class Call:
    """What one call of a layer has in common for all its directions."""

    scan: Scan
    engine: str
    steps: int
    lengths: Tensor | None


class Direction(nn.Module):
    """Parameters W, U, b, c, vectors.*, products.* as `Program.parameters` lists them, and start.* if it is learned.

    Initial values come from a seed drawn from torch's generator, so `torch.manual_seed` decides them.
    """

    W: Tensor
    U: Tensor | None
    b: Tensor | None
    c: Tensor | None

    def __init__(
        self, program: Program, sizes: Sizes, initial: Initial, *, learned_start: bool, weight_drop: float
    ) -> None:
        super().__init__()
        self.program = program
        self.sizes = sizes
        self.weight_drop = weight_drop
        self.vectors = nn.ParameterDict()
        self.products = nn.ParameterDict()
        self.start = nn.ParameterDict()
        seed = int(torch.randint(2**31 - 1, ()))
        values = initial_values(program, sizes, np.random.default_rng(seed), initial)
        for name in ("W", "U", "b", "c"):
            self.register_parameter(name, _parameter(values.pop(name)) if name in values else None)
        for name, value in values.items():
            family, member = name.split(".", 1)
            getattr(self, family)[member] = _parameter(value)
        if learned_start:
            zero = initial_state(program, sizes, 1, self.W.dtype, self.W.device)
            self.start.update({name: nn.Parameter(getattr(zero, name)[0].clone()) for name in program.state})

    @property
    def output_size(self) -> int:
        return self.sizes.of(self.program.output_width)

    def weights(self) -> Weights:
        """The parameters as the engine takes them; while training, entries of U are dropped at `weight_drop`."""
        found: Weights | None = self.__dict__.get("_weights")
        dropped = self.weight_drop and self.training
        if found is not None and not dropped and self._own(found):
            return found
        U = self.U
        if U is not None and dropped:
            U = functional.dropout(U, self.weight_drop)
        # an empty ParameterDict takes longer to ask than the rest together
        vectors = {name: self.vectors[name] for name in self.program.vectors}
        products = {name: self.products[name] for name in self.program.products}
        found = Weights(self.W, U, self.b, self.c, vectors, products)
        # a stand-in's tensors would be held past its call
        if not dropped and isinstance(found.W, nn.Parameter) and self._own(found):
            self.__dict__["_weights"] = found
        return found

    def _own(self, weights: Weights) -> bool:
        """Whether these are this module's parameters still, and no stand-ins of a call or of a parametrisation."""
        mine, given = self._parameters, weights.named
        for name in ("W", "U", "b", "c"):
            if mine.get(name) is not given.get(name):
                return False
        for table, group in ((weights.vectors, "vectors"), (weights.products, "products")):
            if table:
                parameters = self._modules[group]._parameters  # type: ignore[union-attr]  # made in __init__
                if any(parameters.get(name) is not value for name, value in table.items()):
                    return False
        return True

    def initial_state(self, batch: int) -> Any:
        """The state before the first step, (B, size) each: learned, or what the cell starts from."""
        if not len(self.start):
            return initial_state(self.program, self.sizes, batch, self.W.dtype, self.W.device)
        return self.program.state_type(*(self.start[name].expand(batch, -1) for name in self.program.state))

    def noise(self, batch: int, steps: int, *, packed: bool = False) -> dict[str, Tensor | Packed] | None:
        """Zoneout and recurrent dropout for one call; None in evaluation, where the engine takes their means."""
        if not self.training or not self.program.noise:
            return None
        return draw_noise(self.program, self.sizes, batch, steps, self.W.dtype, self.W.device, packed=packed)

    def __repr__(self) -> str:
        names = ", ".join(f"{name} {tuple(p.shape)}" for name, p in self.named_parameters())
        return f"Direction({self.program.name}, {self.sizes.input} -> {self.output_size}: {names})"


def _parameter(value: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(value).to(torch.get_default_dtype()))
