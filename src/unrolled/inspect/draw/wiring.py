"""Lines between the layers of a layout: level, then upright in a track of their own, then level again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations

_PERMUTED = 5
_OVERLAP, _SWAPS = 60, 6


@dataclass
class Net:
    """One value's line between two layers: it comes in at `start` and leaves at each of `ends`."""

    start: float
    ends: list[float] = field(default_factory=list)

    @property
    def bends(self) -> bool:
        """Whether it needs an upright piece."""
        return any(abs(end - self.start) > 0.1 for end in self.ends)

    @property
    def span(self) -> tuple[float, float]:
        """Top and bottom of the upright piece."""
        return min(self.start, *self.ends), max(self.start, *self.ends)


def tracks(nets: Sequence[Net]) -> list[int | None]:
    """The track of each net that bends, from left to right, so that lines cross seldom and never lie on one another."""
    bent = [k for k, net in enumerate(nets) if net.bends]
    straight = [net for net in nets if not net.bends]
    order = _ordered([nets[k] for k in bent], straight)
    found: list[int | None] = [None] * len(nets)
    for track, place in enumerate(order):
        found[bent[place]] = track
    return found


def _ordered(nets: Sequence[Net], straight: Sequence[Net]) -> list[int]:
    if len(nets) <= _PERMUTED:
        return list(min(permutations(range(len(nets))), key=lambda order: _cost(nets, order)))
    order = sorted(range(len(nets)), key=lambda k: nets[k].start)
    best = _cost(nets, order)
    for _ in range(_SWAPS):
        for a in range(len(order)):
            for b in range(len(order)):
                tried = order.copy()
                tried.insert(b, tried.pop(a))
                cost = _cost(nets, tried)
                if cost < best:
                    best, order = cost, tried
    return order


def _cost(nets: Sequence[Net], order: Iterable[int]) -> float:
    """Crossings of uprights with level pieces; pieces that would lie on one another count most."""
    cost = 0.0
    seen: list[Net] = []
    for k in order:
        net = nets[k]
        for left in seen:  # its upright stands left of this one's
            low, high = left.span
            cost += low < net.start < high
            cost += sum(net.span[0] < end < net.span[1] for end in left.ends)
            cost += _OVERLAP * sum(abs(net.start - end) < 4 for end in left.ends)
        seen.append(net)
    return cost
