"""Masks of a long sequence as bits: what chance decided for every step, kept in an eighth of a byte a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Numbers that are drawn at once.
_PIECE = 1 << 20
_PLACES = (1, 2, 4, 8, 16, 32, 64, 128)


class Packed:
    """A mask (B, T, n) whose entries are 0 or `scale`; `at` gives some of its steps as numbers."""

    def __init__(self, bits: Tensor, features: int, scale: Tensor) -> None:
        self.bits, self.features, self.scale = bits, features, scale

    def at(self, part: slice) -> Tensor:
        """Steps `part` as (B, n, features)."""
        places = torch.tensor(_PLACES, dtype=torch.uint8, device=self.bits.device)
        ones = (self.bits[:, part].unsqueeze(-1) & places).ne(0).flatten(2)[..., : self.features]
        return ones.to(self.scale.dtype) * self.scale


def packed_uniform(batch: int, steps: int, features: int, keep: float, scale: Tensor) -> Packed:
    """Where `torch.rand(B, T, n)`, drawn in pieces, is below `keep`; on a CPU the numbers that one draw would give."""

    def draw(rows: int) -> Tensor:
        return torch.rand(rows, features, dtype=scale.dtype, device=scale.device) < keep

    return _packed(batch, steps, features, scale, draw)


def packed_bernoulli(batch: int, steps: int, features: int, keep: float, scale: Tensor) -> Packed:
    """Where `bernoulli_(keep)` of a tensor (B, T, n) is 1.

    Drawn at once, a byte each, because on some processors pieces would be other numbers.
    """
    whole = torch.empty(batch * steps, features, dtype=torch.uint8, device=scale.device).bernoulli_(keep)
    pieces = _pieces(whole)
    return _packed(batch, steps, features, scale, lambda rows: next(pieces))


def part_of(value: Tensor | Packed, part: slice) -> Tensor:
    """Some steps of a mask, however it is kept."""
    return value.at(part) if isinstance(value, Packed) else value[:, part]


def _pieces(whole: Tensor) -> Iterator[Tensor]:
    yield from torch.split(whole, _rows(whole.shape[1]))


def _rows(features: int) -> int:
    return max(1, _PIECE // max(1, features))


def _packed(batch: int, steps: int, features: int, scale: Tensor, draw: Callable[[int], Tensor]) -> Packed:
    width = -(-features // 8)
    bits = torch.empty(batch * steps, width, dtype=torch.uint8, device=scale.device)
    places = torch.tensor(_PLACES, dtype=torch.uint8, device=scale.device)
    for piece in torch.split(bits, _rows(features)) if len(bits) else ():
        ones = torch.zeros(len(piece), 8 * width, dtype=torch.uint8, device=scale.device)
        ones[:, :features] = draw(len(piece))
        torch.sum(ones.view(len(piece), width, 8) * places, -1, dtype=torch.uint8, out=piece)
    return Packed(bits.view(batch, steps, width), features, scale)
