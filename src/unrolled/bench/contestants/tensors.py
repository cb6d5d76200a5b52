"""What the contestants that run on torch's tensors share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unrolled.bench.contestants.library import Answer, Contestant
from unrolled.bench.problem import Problem

Tensors = tuple[Tensor, ...]


def leaves(problem: Problem) -> tuple[Tensor, dict[str, Tensor]]:
    """The inputs and the parameters by name, as tensors of its own that want a gradient."""
    named = {name: torch.tensor(value, requires_grad=True) for name, value in problem.values.items()}
    return torch.tensor(problem.xs, requires_grad=True), named


def lengths_of(problem: Problem) -> Tensor | None:
    """The lengths of the rows, where they have some."""
    return None if problem.lengths is None else torch.from_numpy(problem.lengths)


def arrays(found: Tensors) -> Answer:
    """The tensors as an answer."""
    return tuple(tensor.detach().numpy() for tensor in found)


def contestant(
    problem: Problem, run: Callable[[], Tensor], wanted: Sequence[Tensor], read: Callable[[Tensors], Answer] = arrays
) -> Contestant:
    """`run` gives the outputs (B, T, O); in training the gradients of the `wanted` follow them."""
    incoming = torch.tensor(problem.incoming)

    def forward() -> Tensors:
        with torch.no_grad():
            return (run(),)

    def training() -> Tensors:
        outputs = run()
        return (outputs, *torch.autograd.grad(outputs, list(wanted), incoming))

    return Contestant(forward, training, read)
