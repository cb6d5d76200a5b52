"""Fair timing on a machine that is also doing other things: contestants take turns, and the least time counts."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds of each round of one contestant."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def interleave(
    contestants: Mapping[str, Callable[[], object]], rounds: int, longest: float = math.inf
) -> dict[str, Times]:
    """Run each contestant once to warm it up, then `rounds` times in turn, so that a slow moment hits them all.

    One that has taken more than `longest` seconds in its turns sits the others out.
    """
    for run in contestants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            if sum(seconds[name]) > longest:
                continue
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: Times(tuple(found)) for name, found in seconds.items()}
