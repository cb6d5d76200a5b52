"""What the units do at all: saturated gates, dead units, units that say the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrolled.inspect.arrays import Floats, Shown
from unrolled.inspect.states import States, Trace, Unit
from unrolled.layers.probe import Place

# A gate nearer to its ends than this passes on hardly any gradient (Karpathy et al. 2015).
CLOSED, OPEN = 0.1, 0.9
_STILL = 1e-3
ALIKE = 0.98


@dataclass(frozen=True)
class Saturation(Shown):
    """For each unit of a sigmoid gate, the share of the steps in which it is below 0.1 and above 0.9: (H,) each."""

    place: Place
    gate: str
    closed: Floats
    open: Floats

    def __str__(self) -> str:
        return f"{self.place} {self.gate}: closed {self.closed.mean():.0%} and open {self.open.mean():.0%} of the time"


@dataclass(frozen=True)
class Redundant(Shown):
    """Two units of one layer whose activity is nearly the same, or nearly opposite: |r| over the steps."""

    first: Unit
    second: Unit
    correlation: float


@dataclass(frozen=True)
class Health(Shown):
    """Saturation of every sigmoid gate; units that hardly move; pairs that move together, the likest first."""

    saturation: tuple[Saturation, ...]
    dead: tuple[Unit, ...]
    redundant: tuple[Redundant, ...]
    units: int

    @property
    def lines(self) -> list[str]:
        """The same in words."""
        said = [str(one) for one in self.saturation]
        said.append(f"{len(self.dead)} of {self.units} units hardly move" + _some([str(u) for u in self.dead]))
        pairs = [f"{r.first} and {r.second} (r {r.correlation:+.2f})" for r in self.redundant]
        said.append(f"{len(pairs):,} pairs of units say the same" + _some(pairs))
        return said


def health(states: States, *, still: float = _STILL, alike: float = ALIKE) -> Health:
    """The health of all units over one input.

    Dead: a hidden state whose deviation over the steps is below `still` times the largest of its layer. Redundant: two
    units of the first state of a layer with |r| of at least `alike`. Look at a long input; on a short one much rests.
    """
    gates = tuple(_saturation(t) for t in states.traces if t.kind == "gate" and t.squashed)
    first = [t for t in states.traces if t.kind == "state" and t.name == states.traces[0].name]
    dead, pairs, units = [], [], 0
    for trace in first:
        spread = trace.values.astype(np.float64).std(0)
        alive = spread > still * max(float(spread.max()), 1e-30)
        units += len(spread)
        dead += [_unit(trace, int(k)) for k in np.flatnonzero(~alive)]
        pairs += _pairs(trace, np.flatnonzero(alive), alike)
    pairs.sort(key=lambda pair: -abs(pair.correlation))
    return Health(gates, tuple(dead), tuple(pairs), units)


def _saturation(trace: Trace) -> Saturation:
    closed, opened = (trace.values < CLOSED).mean(0), (trace.values > OPEN).mean(0)
    return Saturation(trace.place, trace.name, closed.astype(np.float64), opened.astype(np.float64))


def _pairs(trace: Trace, alive: np.ndarray, alike: float) -> list[Redundant]:
    if len(alive) < 2 or len(trace.values) < 3:
        return []
    found: Floats = np.asarray(np.corrcoef(trace.values[:, alive].astype(np.float64).T))
    rows, columns = np.nonzero(np.triu(np.abs(found) >= alike, 1))
    return [
        Redundant(_unit(trace, int(alive[i])), _unit(trace, int(alive[j])), float(found[i, j]))
        for i, j in zip(rows, columns, strict=True)
    ]


def _unit(trace: Trace, number: int) -> Unit:
    return Unit(trace.place, trace.name, number)


def _some(names: list[str], most: int = 3) -> str:
    if not names:
        return ""
    return ": " + ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
