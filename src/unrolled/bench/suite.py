"""All that `unrolled bench` runs, in the order in which it shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from unrolled.bench.busy import Busy, busy
from unrolled.bench.cold import Cold, cold
from unrolled.bench.latency import Latency, latency
from unrolled.bench.limit import fma_limit
from unrolled.bench.problem import Shape
from unrolled.bench.ragged import Ragged, ragged
from unrolled.bench.recurrent import EVERYBODY, FULL, PHASES, SHAPES, Row, compare
from unrolled.bench.timing import Pace
from unrolled.cell import Cell
from unrolled.engine.cpu.target import host

Found = Row | Ragged | Latency | Cold | Busy
TURN, PATIENCE = 0.02, 10.0
CELLS, CELLS_OF_FULL = ("lstm", "gru", "mgu"), ("lstm", "gru", "rnn", "mgu")


@dataclass(frozen=True)
class Suite:
    """What was asked for; the first of the cells is the one of the smaller measurements."""

    cells: Mapping[str, Cell]
    shapes: Sequence[Shape]
    phases: Sequence[str]
    pace: Pace
    busy: bool = False

    def run(self) -> Iterator[Found]:
        """Each result as soon as it is there."""
        yield from compare(self.shapes, self.cells, libraries=EVERYBODY, phases=self.phases, pace=self.pace)
        name, cell = next(iter(self.cells.items()))
        yield from ragged(name, cell, self.pace, phases=self.phases)
        yield latency(name, cell, self.pace)
        yield cold(name)
        if self.busy:
            yield from busy(name, cell, self.pace, phases=self.phases)


def pace(seconds: float, *, patient: bool) -> Pace:
    """Turns of every contestant for about so many seconds a row; the patient also wait for those that are slow."""
    return Pace(10_000, seconds, seconds, TURN) if patient else Pace(10_000, seconds, seconds / 2, TURN, PATIENCE)


def machine(threads: int) -> dict[str, Any]:
    """What is measured on, with the limit in FLOP/s of so many threads."""
    return {
        "processor": host().cpu,
        "vector_bits": host().bits,
        "threads": threads,
        "limit": fma_limit(threads),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The libraries that are there to be compared."""
    found = {"torch": str(torch.__version__)}
    for name in ("jax", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


__all__ = ["CELLS", "CELLS_OF_FULL", "FULL", "PHASES", "SHAPES", "Found", "Suite", "machine", "pace"]
