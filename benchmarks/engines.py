"""One recurrent layer in float32: our engines beside torch.nn, and a cell of one's own beside the eager loop.

Outputs and all gradients of the contestants are compared first, and nothing is timed where they differ. The contestants
take turns, and each counts with its least time. GFLOP/s counts the products with W and U alone, three times as many in
training; the limit is what as many threads reach with fused multiply-adds on registers and nothing else. No ratio can
be above 1 / the baseline's own share of that limit, which is the last column but one. Training goes back from a given
gradient of the outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

import torch
from pictures import draw
from reporting import Claim, Table, parse, parser, report

from unrolled.bench.limit import fma_limit
from unrolled.bench.problem import Shape
from unrolled.bench.recurrent import CELLS, FULL, OURS, REFERENCE, TORCH, Row, compare
from unrolled.bench.timing import Pace
from unrolled.cell import Cell, sigmoid, state, tanh

TINY = (Shape(5, 1, 3, 17), Shape(4, 3, 5, 8))
# Seconds in all that a slow contestant, such as the loop on the largest shape, is waited for.
LONGEST = 3.0
# Seconds of a turn: the first run of one suffers from what the contestant before has left in the caches.
TURN = 0.02
PHASES = ("forward", "training")
# Geometric mean over the shapes and least at any of them, against torch.nn, forward and in training.
AGAINST_TORCH = {
    "lstm": {"forward": (1.25, 0.95), "training": (1.35, 0.95)},
    "gru": {"forward": (4.0, 2.0), "training": (3.0, 2.0)},
    "rnn": {"forward": (4.0, 2.0), "training": (3.0, 2.0)},
}
OWN, AGAINST_LOOP, SMALLEST = "own cell", 6.0, 30.0
# Share of the limit of any batch of 32 rows or more, by hidden units.
SHARES = {512: {"forward": 0.85, "training": 0.75}, 256: {"forward": 0.75, "training": 0.65}}
FULL_BATCH = 32


@dataclass(frozen=True)
class Own(Cell):
    """The cell of the README: h[t] = (1 - f) h[t-1] + f n, which no library has under this form.

    States: h (B, O).
    """

    gates = ("f", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f = sigmoid(x.f + u.f)
        n = tanh(x.n + u("n", f * s.h))
        h = (1 - f) * s.h + f * n
        return h, self.next(h=h)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, time, report."""
    begin = time.perf_counter()
    found = parser("Speed of the engines beside torch.nn.")
    found.add_argument("--rounds", type=int, default=7, help="times that each contestant runs; the least time counts")
    options = parse(found, arguments)
    shapes, rounds = (TINY, 1) if options.quick else (FULL, options.rounds)
    limit = fma_limit(torch.get_num_threads())
    rows = []
    pace = Pace(rounds=rounds, longest=LONGEST, turn=0.0 if options.quick else TURN)
    for row in compare(shapes, CELLS | {OWN: Own()}, pace=pace):
        print("engines: " + "  ".join(map(str, line(row, limit))), flush=True)
        rows.append(row)
    picture = None
    if options.results is not None:
        picture = "engines.png"
        axes = ("shape, in the order of the table", "time of the baseline / compiled")
        draw(options.results / picture, axes, curves(rows), logarithmic=True)
    table = Table(COLUMNS, tuple(line(row, limit) for row in rows))
    claims = [*ratios(rows), *shares(rows, limit)]
    remarks = f"{__doc__}\nThe limit here: {limit / 1e9:.0f} GFLOP/s on {torch.get_num_threads()} threads."
    return report("engines", options, claims, table=table, begin=begin, remarks=remarks, picture=picture)


def ratios(rows: Sequence[Row]) -> list[Claim]:
    """How many times faster than torch.nn, and than the eager loop where torch has no such cell."""
    claims = []
    for cell, phases in AGAINST_TORCH.items():
        for phase, (middle, least) in phases.items():
            found = [row.ratio(TORCH) for row in chosen(rows, cell, phase)]
            claims.append(Claim(f"{cell} {phase}, torch.nn / compiled, geometric mean", geometric_mean(found), middle))
            claims.append(Claim(f"{cell} {phase}, torch.nn / compiled, least", min(found), least))
    for phase in PHASES:
        found = [row.ratio(REFERENCE) for row in chosen(rows, OWN, phase)]
        claims.append(Claim(f"{OWN} {phase}, loop / compiled, geometric mean", geometric_mean(found), AGAINST_LOOP))
        claims.append(Claim(f"{OWN} {phase}, loop / compiled, smallest shape", found[0], SMALLEST))
    return claims


def shares(rows: Sequence[Row], limit: float) -> list[Claim]:
    """The compiled engine's speed as a share of the limit, the least of all cells on full batches."""
    claims = []
    for hidden, phases in SHARES.items():
        for phase, target in phases.items():
            full = [r for r in rows if r.phase == phase and r.shape.hidden == hidden and r.shape.batch >= FULL_BATCH]
            if full:
                least = min(row.speed(OURS) for row in full) / limit
                claims.append(Claim(f"H = {hidden} {phase}, least share of the limit", least, target))
    return claims


def chosen(rows: Iterable[Row], cell: str, phase: str) -> list[Row]:
    """The rows of one cell and phase, in the order of the shapes."""
    return [row for row in rows if (row.cell, row.phase) == (cell, phase)]


def baseline(row: Row) -> str:
    """torch.nn, or the eager loop where torch has no such cell."""
    return TORCH if TORCH in row.times else REFERENCE


def milliseconds(name: str) -> Callable[[Row], str]:
    """Least time of a contestant, and a dash where it does not take the cell."""
    return lambda row: f"{1e3 * row.times[name].least:.3f}" if name in row.times else "-"


TIMED = (TORCH, OURS, "native", REFERENCE)
MEASURED = ("ratio", "GFLOP/s", "of the limit", "baseline's share", "differ")
COLUMNS = ("cell", "shape", "phase", *(f"{name} ms" for name in TIMED), *MEASURED)


def line(row: Row, limit: float) -> tuple[str | float | int, ...]:
    """A line of the table; ratio, GFLOP/s and share of the limit are the compiled engine's."""
    speed, other = row.speed(OURS), row.speed(baseline(row))
    times = (milliseconds(name)(row) for name in TIMED)
    ratio, shares = round(row.ratio(baseline(row)), 2), (f"{speed / limit:.0%}", f"{other / limit:.0%}")
    return (row.cell, str(row.shape), row.phase, *times, ratio, round(speed / 1e9, 1), *shares, f"{row.difference:.0e}")


def curves(rows: Sequence[Row]) -> dict[str, list[tuple[float, float]]]:
    """Ratio by the number of the shape, for each cell and phase."""
    return {
        f"{cell} {phase}": [(place, row.ratio(baseline(row))) for place, row in enumerate(chosen(rows, cell, phase), 1)]
        for cell in (*CELLS, OWN)
        for phase in PHASES
    }


if __name__ == "__main__":
    raise SystemExit(main())
