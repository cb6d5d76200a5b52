"""A million steps: exact gradients of a long sequence, and what they cost in memory and time.

One sequence of 16 numbers a step goes through recurrent layers of 128 units, forward and back, with a random gradient
by every output. `memory="full"` keeps what the backward pass reads of every step; `memory="low"` keeps the states at
about sqrt(T) borders and computes each segment again. Truncated back-propagation is beside them: windows of 1,000 steps
side by side, which give the first step of each no past, and windows that advance by 250. Memory is the highest resident
size of a fresh process beyond what it had with the inputs made, without the outputs, their gradients and those of the
inputs (in windows no outputs are kept). Seconds are those of the processor, on one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from pictures import Panel, draw_panels
from reporting import Claim, Table, parse, parser, report

from unrolled.cells import by_name
from unrolled.layers import Recurrent, truncated

LENGTHS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
QUICK = (300, 1_000)
INPUTS, HIDDEN = 16, 128
MOST_MEGABYTES, MOST_TIMES = 1000, 2.2
# What is measured: cell, layers, and how it goes back; the first is what the claims are about.
NETWORKS = (("lstm", 1), ("gru", 1), ("lstm", 3))
EXACT = ("full", "low")
WINDOWS = {"windows of 1,000": (1000, 1000), "windows of 1,000 every 250": (1000, 250)}

Found = dict[str, float]


def status(name: str) -> float:
    """A line of /proc/self/status in megabytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1000


def child(cell: str, layers: int, memory: str, length: int) -> Found:
    """Forward and back over one sequence in this process: megabytes beyond the arguments, and seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kept = memory if memory in EXACT else "full"
    layer = Recurrent(by_name(cell), INPUTS, HIDDEN, layers=layers, memory=kept)
    # compiles, and brings in what torch loads when it first goes back
    warm, _ = layer(torch.randn(1, 400, INPUTS, requires_grad=True))
    warm.sum().backward()
    x = torch.randn(1, length, INPUTS, requires_grad=True)
    gradient = torch.randn(1, length, HIDDEN)
    before, begin = status("VmRSS"), time.process_time()
    if memory in EXACT:
        outputs, _ = layer(x)
        outputs.backward(gradient)
    else:
        window, stride = WINDOWS[memory]
        for part in truncated(layer, x, window=window, stride=stride):
            part.outputs.backward(gradient[:, part.steps])  # type: ignore[no-untyped-call]
    seconds = time.process_time() - begin
    given = (x.nbytes + (gradient.nbytes if memory in EXACT else 0)) / 1e6
    return {"megabytes": max(0.0, status("VmHWM") - before - given), "seconds": seconds}


def measure(cell: str, layers: int, memory: str, length: int) -> Found:
    """The same in a process of its own, whose highest memory is nobody else's."""
    words = [sys.executable, __file__, "--child", cell, str(layers), memory, str(length)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)  # noqa: S603  # words of our own, no shell
    found: Found = json.loads(done.stdout)
    print(f"long: {cell} x {layers}, {length:,} steps, {memory}: {found['megabytes']:.1f} MB, {found['seconds']:.2f} s")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both ways at every length, draw the curves, report."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["--child"]:
        asked = given[1:]
        print(json.dumps(child(asked[0], int(asked[1]), asked[2], int(asked[3]))))
        return 0
    begin = time.perf_counter()
    found = parser("A million steps.")
    options = parse(found, given)
    lengths = QUICK if options.quick else LENGTHS
    rows: dict[tuple[str, int, str, int], Found] = {}
    for cell, layers in NETWORKS[:1] if options.quick else NETWORKS:
        for length in lengths:
            for memory in (*EXACT, *(WINDOWS if (cell, layers) == NETWORKS[0] else ())):
                # the largest of three layers would take the machine's memory from others
                if length * layers <= max(LENGTHS) or memory == "low":
                    how = child if options.quick else measure
                    rows[cell, layers, memory, length] = how(cell, layers, memory, length)
    return tell(options, rows, lengths, begin)


def tell(
    options: argparse.Namespace, rows: dict[tuple[str, int, str, int], Found], lengths: Sequence[int], begin: float
) -> int:
    """Claims, table and picture."""
    cell, layers = NETWORKS[0]
    longest = lengths[-1]
    low, full = rows[cell, layers, "low", longest], rows[cell, layers, "full", longest]
    claims = [
        Claim(f"megabytes beyond inputs, outputs and their gradients, {longest:,} steps", low["megabytes"],
              MOST_MEGABYTES, most=True),
        Claim(f"time over that of the plain pass, {longest:,} steps", low["seconds"] / full["seconds"],
              MOST_TIMES, most=True),
    ]  # fmt: skip
    lines = tuple(
        (name, deep, length, memory, round(one["megabytes"], 1), round(one["seconds"], 2),
         round(1e6 * one["seconds"] / length, 1))
        for (name, deep, memory, length), one in rows.items()
    )  # fmt: skip
    columns = ("cell", "layers", "steps", "memory", "megabytes", "seconds", "microseconds a step")
    picture = None
    if options.results is not None:
        picture = "long.png"
        panels = [
            Panel(f"{title}, {which}", ("steps", label), curves(rows, label, chosen), targets if first else ())
            for which, chosen, first in (
                ("LSTM of one layer", NETWORKS[:1], True),
                ("other networks", NETWORKS[1:], False),
            )
            for title, label, targets in (("Memory", "megabytes", (MOST_MEGABYTES,)), ("Time", "seconds", ()))
            if first or not options.quick
        ]
        draw_panels(options.results / picture, panels)
    table = Table(columns, lines)
    return report("long", options, claims, table=table, begin=begin, remarks=str(__doc__), picture=picture)


def curves(
    rows: dict[tuple[str, int, str, int], Found], measured: str, chosen: Sequence[tuple[str, int]]
) -> dict[str, list[tuple[float, float]]]:
    """A curve for each of the chosen networks and each way; what was too little to be seen is left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for (cell, layers, memory, length), one in rows.items():
        if (cell, layers) in chosen and (one[measured] > 0.1 or measured == "seconds"):
            name = cell if layers == 1 else f"{cell}, {layers} layers"
            name = memory if len(chosen) == 1 else f"{name}, {memory}"
            found.setdefault(name, []).append((length, one[measured]))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
