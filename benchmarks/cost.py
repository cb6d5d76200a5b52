"""What training costs against work: units, steps, rows, layers, and lengths that differ.

A language model of characters (embedding of 32, LSTM, 65 characters put out) takes training steps on random text:
forward, back and AdamW's update. One thing is changed at a time, from 128 units, 64 steps, 16 rows and one layer. Time
is that of the processor on one thread, the shortest of several tries, over the characters of the batch that are no
padding. The spread of lengths is how far rows reach from their mean of 64: 0.5 means lengths from 32 to 96, drawn
evenly.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from pictures import Panel, draw_panels
from reporting import Claim, Table, parse, parser, report

from unrolled.cells import LSTM
from unrolled.layers import Recurrent
from unrolled.models import LanguageNetwork

VOCABULARY, EMBEDDING = 65, 32
# Over so many times as many steps, a character must not cost more than this many times as much.
MOST_GROWTH = 1.25
LEAST_THROUGHPUT = 0.8


@dataclass(frozen=True)
class Work:
    """One training step: units, steps, rows, layers, how far the rows' lengths reach from their mean, what is kept."""

    hidden: int = 128
    steps: int = 64
    rows: int = 16
    layers: int = 1
    spread: float = 0.0
    memory: str = "full"


@dataclass(frozen=True)
class Cost:
    """Microseconds a character, and the parameters of the network."""

    microseconds: float
    parameters: int


SWEEPS: dict[str, tuple[float, ...]] = {
    "hidden": (32, 64, 128, 256, 512),
    "steps": (16, 64, 256, 1024, 4096),
    "steps, memory low": (256, 1024, 4096, 16384),
    "rows": (1, 2, 4, 8, 16, 32, 64),
    "layers": (1, 2, 3, 4),
    "spread": (0.0, 0.25, 0.5, 0.75, 1.0),
}
QUICK: dict[str, tuple[float, ...]] = {
    "hidden": (16, 32), "steps": (16, 64), "steps, memory low": (16, 64), "rows": (1, 4), "layers": (1, 2),
    "spread": (0.0, 0.5),
}  # fmt: skip


def cost(work: Work, seconds: float) -> Cost:
    """Measure one step over and over for so long."""
    torch.manual_seed(0)
    network = LanguageNetwork(
        VOCABULARY, EMBEDDING, Recurrent(LSTM(), EMBEDDING, work.hidden, layers=work.layers, memory=work.memory)
    )
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    rows = 2 * work.rows if work.spread else work.rows
    lengths = (work.steps * (1 - work.spread + 2 * work.spread * torch.rand(rows))).round().long().clamp(min=1)
    ids = torch.randint(VOCABULARY, (rows, int(lengths.max()) + 1))

    def step() -> None:
        optimiser.zero_grad()
        loss, _ = network.loss(ids[:, :-1], ids[:, 1:], lengths=lengths if work.spread else None)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()

    for _ in range(2):  # compiles and takes memory
        step()
    best, deadline = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < deadline or not math.isfinite(best):
        begin = time.process_time()
        step()
        best = min(best, time.process_time() - begin)
    characters = int(lengths.sum())
    return Cost(1e6 * best / characters, sum(p.numel() for p in network.parameters()))


def changed(base: Work, name: str, value: float) -> Work:
    """The same work with one thing changed."""
    name, low, _ = name.partition(", ")
    given = {name: value if name == "spread" else int(value), "memory": "low" if low else "full"}
    return Work(**{**vars(base), **given})


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep one thing at a time, draw, report."""
    begin = time.perf_counter()
    found = parser("What training costs against work.")
    found.add_argument("--seconds", type=float, default=4.0, help="for each point")
    options = parse(found, arguments)
    torch.set_num_threads(1)
    base = Work(hidden=16, steps=16, rows=2) if options.quick else Work()
    seconds = 0.0 if options.quick else options.seconds
    swept: dict[str, list[tuple[float, Cost]]] = {}
    for name, values in (QUICK if options.quick else SWEEPS).items():
        for value in values:
            one = cost(changed(base, name, value), seconds)
            swept.setdefault(name, []).append((value, one))
            print(f"cost: {name} {value:g}: {one.microseconds:.2f} us a character", flush=True)
    return tell(options, swept, begin)


def tell(options: argparse.Namespace, swept: dict[str, list[tuple[float, Cost]]], begin: float) -> int:
    """Claims, table and picture."""
    steps, spread, long = swept["steps"], swept["spread"], swept["steps, memory low"]
    claims = [
        Claim(f"time of a character in {steps[-2][0]:g} steps over that in {steps[0][0]:g}",
              steps[-2][1].microseconds / steps[0][1].microseconds, MOST_GROWTH, most=True),
        Claim(f"the same with memory='low', {long[-1][0]:g} steps over {long[0][0]:g}",
              long[-1][1].microseconds / long[0][1].microseconds, MOST_GROWTH, most=True),
        Claim("parameters, most over fewest of all numbers of steps",
              max(c.parameters for _, c in steps) / min(c.parameters for _, c in steps), 1.0, most=True),
        Claim("characters a second at the widest spread of lengths over those of equal lengths",
              spread[0][1].microseconds / spread[-1][1].microseconds, LEAST_THROUGHPUT),
    ]  # fmt: skip
    rows = tuple(
        (name, value, round(one.microseconds, 3), one.parameters) for name, points in swept.items()
        for value, one in points
    )  # fmt: skip
    picture = None
    if options.results is not None:
        picture = "cost.png"
        draw_panels(options.results / picture, panels(swept), columns=3)
    remarks = f"{__doc__}\n{growth(swept)}"
    table = Table(("changed", "to", "microseconds a character", "parameters"), rows)
    return report("cost", options, claims, table=table, begin=begin, remarks=remarks, picture=picture)


def growth(swept: dict[str, list[tuple[float, Cost]]]) -> str:
    """The slopes between neighbouring points, on logarithmic axes: 1 is proportional, 0 constant."""

    def slopes(name: str) -> str:
        found = [
            math.log(b.microseconds / a.microseconds) / math.log(y / x) for (x, a), (y, b) in pairwise(swept[name])
        ]
        return ", ".join(f"{slope:.2f}" for slope in found)

    return (
        f"The time of a character grows with these powers from point to point: units {slopes('hidden')}; steps "
        f"{slopes('steps')}; rows {slopes('rows')}; layers {slopes('layers')}."
    )


def panels(swept: dict[str, list[tuple[float, Cost]]]) -> list[Panel]:
    """One for each thing that was changed, and the parameters against the steps."""
    titles = {"hidden": "Units", "steps": "Steps of a sequence", "rows": "Rows of a batch"}
    label = "microseconds a character"
    found = [
        Panel(title, (title.lower(), label), {
            part: [(v, c.microseconds) for v, c in points] for part, points in swept.items() if part.startswith(name)
        }, logarithmic="xy" if name == "hidden" else "x")
        for name, title in titles.items()
    ]  # fmt: skip
    layers = [(v, c.microseconds) for v, c in swept["layers"]]
    spread = [(v, 1e6 / c.microseconds) for v, c in swept["spread"]]
    parameters = [(v, float(c.parameters)) for v, c in swept["steps"]]
    found += [
        Panel("Layers", ("layers", label), {"layers": layers}, logarithmic=""),
        Panel("Lengths that differ", ("spread", "characters a second"), {"spread": spread}, logarithmic=""),
        Panel("Parameters", ("steps of a sequence", "parameters"), {"parameters": parameters}, logarithmic=""),
    ]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
