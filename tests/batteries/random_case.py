"""Random weights, inputs and states for a cell: never constants, which hide swapped gates and missing terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.cell import Cell, Program, Sizes, initial_values, trace
from unrolled.engine import Weights, scan


@dataclass
class RandomCase:
    """A cell with everything that it needs to run, all of it wanting gradients."""

    cell: Cell
    program: Program
    sizes: Sizes
    named: dict[str, Tensor]
    xs: Tensor
    state: Any
    noise: dict[str, Tensor]

    @property
    def weights(self) -> Weights:
        return Weights.from_dict(self.named)

    def leaves(self) -> list[Tensor]:
        return [*self.named.values(), self.xs, *self.state]

    def scan(self, **options: Any) -> tuple[Tensor, Any]:
        return scan(self.cell, self.weights, self.xs, self.state, **({"noise": self.noise} | options))


def random_case(
    cell: Cell, *, batch: int = 3, steps: int = 5, inputs: int = 4, hidden: int = 6, output: int = 3,
    dtype: torch.dtype = torch.float64, seed: int = 0,
) -> RandomCase:  # fmt: skip
    """Weights near their usual start with noise on top: biases, gains and peepholes are not at their constants."""
    program = trace(cell)
    generator = torch.Generator().manual_seed(seed)
    heads = program.heads
    hidden, output = hidden * heads, output * heads
    sizes = Sizes(inputs, hidden, output if program.projects else hidden)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    values = initial_values(program, sizes, np.random.default_rng(seed))
    named = {k: (torch.from_numpy(v) + 0.3 * normal(*v.shape)).to(dtype).requires_grad_() for k, v in values.items()}
    state = program.state_type(
        *(_start(n, normal(batch, sizes.of(w))).to(dtype).requires_grad_() for n, w in program.state.items())
    )
    noise = {
        k: torch.rand(
            *((batch, steps) if n.frequency == "step" else (batch,)),
            sizes.of(n.size),
            generator=generator,
            dtype=torch.float64,
        ).to(dtype)
        for k, n in program.noise.items()
    }
    xs = normal(batch, steps, inputs).to(dtype).requires_grad_()
    return RandomCase(cell, program, sizes, named, xs, state, noise)


def _start(name: str, value: Tensor) -> Tensor:
    """A normaliser n (sLSTM) divides, so it starts positive as it would be in use."""
    return value.abs() + 0.5 if name == "n" else 0.5 * value


def score(outputs: Tensor, state: Any) -> Tensor:
    """A scalar in which every element of the outputs and the last state has its own weight."""
    flat = torch.cat([outputs.reshape(-1), *(s.reshape(-1) for s in state)])
    weights = torch.cos(torch.arange(1, flat.numel() + 1, dtype=flat.dtype) * 1.7)
    return (flat * weights).sum() + 0.5 * (flat * flat * weights.abs()).sum()


def gradients(outputs: Tensor, state: Any, leaves: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(score(outputs, state), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]


def assert_close(got: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    """Same shapes, and the same numbers relative to the largest of them; NaN is never equal."""
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape
        scale = max(float(b.detach().abs().max()), 1.0) if b.numel() else 1.0
        worst = float((a - b).detach().abs().max()) / scale if b.numel() else 0.0
        assert worst <= tolerance, f"relative difference {worst:.3g} above {tolerance:.3g}"
