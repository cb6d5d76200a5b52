"""Fair timing on a machine that is also doing other things: contestants take turns, and the least time counts."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Times:
    """Seconds of each run of one contestant."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Pace:
    """How long contestants are timed.

    - `rounds`: turns of each; `seconds`: after so many no new round begins, three apart.
    - `longest`: a contestant whose turns have taken so many seconds sits the other rounds out.
    - `turn`: seconds that a turn lasts at least. The first run of a turn suffers from what the one before has left in
      the caches, and from its threads, which spin for a while; those that follow do not.
    - `patience`: seconds in a whole table that one which compiles may take for it before it is left out of the rest.
    """

    rounds: int = 5
    seconds: float = math.inf
    longest: float = math.inf
    turn: float = 0.0
    patience: float = math.inf


def interleave(contestants: Mapping[str, Callable[[], object]], pace: Pace) -> dict[str, Times]:
    """Run each contestant once to warm it up, then in turns, so that a slow moment of the machine hits them all."""
    for run in contestants.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in contestants}
    begin = time.perf_counter()
    for done in range(pace.rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > pace.seconds:
            break
        for name, run in contestants.items():
            if sum(found[name]) <= pace.longest:
                found[name] += _turn(run, pace.turn)
    return {name: Times(tuple(seconds)) for name, seconds in found.items()}


def _turn(run: Callable[[], object], least: float) -> list[float]:
    """Seconds of each run of one turn."""
    seconds: list[float] = []
    while not seconds or sum(seconds) < least:
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return seconds
