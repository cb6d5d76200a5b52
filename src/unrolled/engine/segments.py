"""Exact back-propagation through time that keeps states at a few borders and computes again what lies between them.

With sqrt(T) segments of sqrt(T) steps, memory is about the square root of the length and each step is computed twice
(Chen et al. 2016; Gruslys et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unrolled.engine.plan import looked_into
from unrolled.errors import ArgumentError

MEMORIES = ("full", "low")
# Below so many steps a call costs more than what it computes.
_SHORTEST = 128

Tensors = tuple[Tensor, ...]
# From a part of the steps, xs (B, n, F), the state before it and the weights to outputs (B, n, O) and the state after.
Run = Callable[[slice, Tensor | None, Tensors, Tensors], tuple[Tensor, Tensors]]


@dataclass(frozen=True)
class Job:
    """What is computed over `steps` steps: outputs are `width` wide, the state has `states` tensors.

    `run` must give the same numbers whenever it is asked, so all that is left to chance is drawn beforehand.
    """

    run: Run
    steps: int
    width: int
    states: int
    reverse: bool = False

    def parts(self) -> list[slice]:
        """The segments in the order of reading."""
        size = segment_length(self.steps)
        found = [slice(first, min(first + size, self.steps)) for first in range(0, self.steps, size)]
        return found[::-1] if self.reverse else found


def segment_length(steps: int) -> int:
    """Steps that are computed, and then kept, at once."""
    return max(_SHORTEST, math.isqrt(steps))


def in_segments(job: Job, xs: Tensor | None, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """Outputs (B, T, O) and the last state of a job, with every gradient; no second derivative."""
    if looked_into((*(() if xs is None else (xs,)), *state, *weights)):
        raise ArgumentError(
            "vmap and forward-mode differentiation look into every step, which memory='low' does not keep; "
            "use memory='full'."
        )
    outputs, *last = _InSegments.apply(job, xs, *state, *weights)  # type: ignore[no-untyped-call]  # torch does not type it
    return outputs, tuple(last)


class _InSegments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: Job, xs: Tensor | None, *rest: Tensor) -> Tensors:
        state, weights = rest[: job.states], rest[job.states :]
        parts = job.parts()
        outputs = None
        # In one piece each: small tensors that stay, between large ones that go, would leave holes that nothing fits.
        borders = [s.new_empty(len(parts), *s.shape) for s in state]
        for k, part in enumerate(parts):
            for border, value in zip(borders, state, strict=True):
                border[k] = value
            before = tuple(border[k] for border in borders)
            ys, state = job.run(part, None if xs is None else xs[:, part], before, weights)
            if outputs is None:
                outputs = ys.new_empty(ys.shape[0], job.steps, job.width)
            outputs[:, part] = ys
        assert outputs is not None  # noqa: S101  # a job has steps
        # a view would keep the whole segment alive
        last = tuple(value.clone() for value in state)
        ctx.save_for_backward(xs, *weights, *borders)
        ctx.set_materialize_grads(False)
        ctx.job, ctx.count = job, 1 + len(weights)
        ctx.again = _autocast(state[0].device.type)
        return outputs, *last

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor | None, *d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise ArgumentError(
                "a second derivative was asked of a pass with memory='low', which keeps too little for it; "
                "use memory='full'."
            )
        job: Job = ctx.job
        xs, *weights = ctx.saved_tensors[: ctx.count]
        borders = ctx.saved_tensors[ctx.count :]
        wants_xs, wanted = ctx.needs_input_grad[1], ctx.needs_input_grad[2 + job.states :]
        leaves = tuple(w.detach().requires_grad_(want) for w, want in zip(weights, wanted, strict=True))
        totals = [torch.zeros_like(w) if want else None for w, want in zip(weights, wanted, strict=True)]
        d_xs = torch.zeros_like(xs) if wants_xs else None
        d_state = d_last
        for k, part in reversed(list(enumerate(job.parts()))):
            state = tuple(border[k].detach().requires_grad_() for border in borders)
            x = None if xs is None else xs[:, part].detach().requires_grad_(wants_xs)
            with torch.enable_grad(), ctx.again():
                ys, after = job.run(part, x, state, leaves)
            incoming = (None if d_outputs is None else d_outputs[:, part], *d_state)
            d_x, d_state, d_weights = _differentiate((ys, *after), incoming, x, state, leaves)
            if d_xs is not None and d_x is not None:
                d_xs[:, part] = d_x
            for total, found in zip(totals, d_weights, strict=True):
                if total is not None and found is not None:
                    total += found
        return None, d_xs, *d_state, *totals


def _differentiate(
    results: Tensors, incoming: tuple[Tensor | None, ...], x: Tensor | None, state: Tensors, weights: Tensors
) -> tuple[Tensor | None, tuple[Tensor | None, ...], tuple[Tensor | None, ...]]:
    """Gradients by x, by each state and by each weight of one segment; None where nothing flows."""
    inputs = (*(() if x is None else (x,)), *state, *weights)
    found: list[Tensor | None] = [None] * len(inputs)
    pairs = [(v, g) for v, g in zip(results, incoming, strict=True) if g is not None and v.requires_grad]
    if pairs:
        places = [i for i, v in enumerate(inputs) if v.requires_grad]
        values, gradients = zip(*pairs, strict=True)
        for i, gradient in zip(
            places, torch.autograd.grad(values, [inputs[i] for i in places], gradients, allow_unused=True), strict=True
        ):
            found[i] = gradient
    first = 0 if x is None else 1
    middle = first + len(state)
    return found[0] if first else None, tuple(found[first:middle]), tuple(found[middle:])


def _autocast(device: str) -> Callable[[], AbstractContextManager[object]]:
    """What makes the types of a second pass those of the first, which runs where the loss is computed."""
    if not torch.is_autocast_enabled(device):
        return nullcontext
    dtype = torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype)
