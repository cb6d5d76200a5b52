"""The engines with AVX-512 switched off, as on most processors: ours, and torch.nn with its libraries held to AVX2.

As `benchmarks/engines.py` measures it, at the shapes of 256 and 512 units with a batch of 32 rows or more. On a
processor that does 512-bit instructions in two halves, the limit is the same with both sets.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from engines import COLUMNS, FULL_BATCH, LONGEST, PHASES, TURN, line
from reporting import Claim, Table, parse, parser, report

from unrolled.bench.limit import fma_limit
from unrolled.bench.problem import Shape
from unrolled.bench.recurrent import CELLS, FULL, OURS, Row, compare
from unrolled.bench.timing import Pace

TINY = (Shape(2, 2, 3, 512),)
# Our kernels, torch's own kernels, oneDNN's and MKL's.
HELD = {
    "UNROLLED_TARGET": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
HIDDEN, SHARE = 512, 0.8


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, time, report; in a process of its own, because libraries ask once what the processor has."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(os.environ.get(name) != value for name, value in HELD.items()):
        command = [sys.executable, __file__, *given]
        return subprocess.run(command, env=os.environ | HELD, check=False).returncode  # noqa: S603  # this very script
    begin = time.perf_counter()
    found = parser("Speed of the engines with AVX-512 switched off.")
    found.add_argument("--rounds", type=int, default=7, help="times that each contestant runs; the least time counts")
    options = parse(found, given)
    full = tuple(s for s in FULL if s.hidden in (256, HIDDEN) and s.batch >= FULL_BATCH)
    shapes, rounds = (TINY, 1) if options.quick else (full, options.rounds)
    limit = fma_limit(torch.get_num_threads())
    pace = Pace(rounds=rounds, longest=LONGEST, turn=0.0 if options.quick else TURN)
    rows = []
    for row in compare(shapes, CELLS, pace=pace):
        print("avx2: " + "  ".join(map(str, line(row, limit))), flush=True)
        rows.append(row)
    table = Table(COLUMNS, tuple(line(row, limit) for row in rows))
    remarks = f"{__doc__}\nThe limit here: {limit / 1e9:.0f} GFLOP/s on {torch.get_num_threads()} threads."
    return report("avx2", options, claims(rows, limit), table=table, begin=begin, remarks=remarks)


def claims(rows: Sequence[Row], limit: float) -> list[Claim]:
    """The least share of the limit of all cells at 512 units."""
    large = [row for row in rows if row.shape.hidden == HIDDEN]
    return [
        Claim(f"H = {HIDDEN} {phase}, least share of the limit", min(shares), SHARE)
        for phase in PHASES
        if (shares := [row.speed(OURS) / limit for row in large if row.phase == phase])
    ]


if __name__ == "__main__":
    raise SystemExit(main())
