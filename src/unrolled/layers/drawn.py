"""What a layer draws once a call: masks, noise and dropped weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unrolled.cell import Program
from unrolled.engine import Packed, Weights, packed_bernoulli, part_of

Mask = Tensor | Packed | None
Noise = Mapping[str, Tensor | Packed] | None


@dataclass(frozen=True)
class Drawn:
    """The mask of a layer's input, and the weights and the noise of each direction.

    `norm`: parameters of the normalisation by name, where they are not the module's own.
    """

    mask: Mask
    weights: tuple[Weights, ...]
    noise: tuple[Noise, ...]
    norm: Mapping[str, Tensor] | None = None

    def at(self, program: Program, part: slice) -> Drawn:
        """The same for a part of the steps."""
        noise = tuple(None if one is None else noise_at(program, one, part) for one in self.noise)
        return replace(self, mask=mask_at(self.mask, part), noise=noise)

    def tensors(self) -> Iterator[Tensor]:
        """What gradients flow to."""
        yield from (self.norm or {}).values()
        for weights in self.weights:
            yield from weights.named.values()

    def filled(self, values: Iterator[Tensor]) -> Drawn:
        """The same with other tensors, in the order of `tensors`."""
        norm = None if self.norm is None else {name: next(values) for name in self.norm}
        weights = tuple(Weights.from_dict({name: next(values) for name in one.named}) for one in self.weights)
        return replace(self, norm=norm, weights=weights)


def noise_at(program: Program, noise: Mapping[str, Tensor | Packed], part: slice) -> dict[str, Tensor | Packed]:
    """The noise of some steps: a part of what changes from step to step, all of what lasts a sequence."""
    return {name: part_of(n, part) if program.noise[name].frequency == "step" else n for name, n in noise.items()}


def step_noise(program: Program, noise: Mapping[str, Tensor] | None, t: int) -> dict[str, Tensor] | None:
    """The noise of step t."""
    if noise is None:
        return None
    return {name: n[:, t] if program.noise[name].frequency == "step" else n for name, n in noise.items()}


def mask_at(mask: Mask, part: slice) -> Mask:
    """A mask for some steps; one that lasts a sequence is (B, 1, F)."""
    return mask if mask is None or (isinstance(mask, Tensor) and mask.shape[1] == 1) else part_of(mask, part)


def draw_mask(
    batch: int, steps: int, features: int, rate: float, like: Tensor, *, variational: bool, packed: bool = False
) -> Mask:
    """0 at `rate` and 1 / (1 - rate) elsewhere, (B, T, F); variational: (B, 1, F); `packed`: as bits."""
    if rate == 0:
        return None
    if packed and not variational:
        scale = torch.ones((), dtype=like.dtype, device=like.device).div_(1 - rate)
        return packed_bernoulli(batch, steps, features, 1 - rate, scale)
    return kept((batch, 1 if variational else steps, features), rate, like)


def kept(shape: Sequence[int], rate: float, like: Tensor) -> Tensor:
    """0 at `rate` and 1 / (1 - rate) elsewhere."""
    # Not functional.dropout: its mask follows the memory layout of x, which differs from engine to engine.
    return like.new_empty(shape).bernoulli_(1 - rate).div_(1 - rate)


def masked(x: Tensor, mask: Mask) -> Tensor:
    """Features (B, T, F) times a mask."""
    if mask is None:
        return x
    return x * (mask.at(slice(None)) if isinstance(mask, Packed) else mask)
