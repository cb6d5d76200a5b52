"""The adding problem: which cells remember a number over 200 and over 600 steps.

At each step a network reads a number from 0 to 1 and a mark, which is 1 at two steps, one in either half; the answer is
the sum of the two marked numbers (Hochreiter & Schmidhuber 1997). Whoever always answers 1 has a mean squared error of
1/6; over 600 steps the LSTM of Bai et al. (2018) stayed at 0.164. The regressor (one layer of 64 units, last state,
linear output) reads freshly made batches; the gates of LSTM and GRU start by the chrono rule (Tallec & Ollivier 2018),
the tanh network has no gate that could. It is tried at two learning rates and the better one counts.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
from fresh import Batch, Course, FreshBatches
from pictures import draw
from reporting import Claim, Table, parse, parser, report
from torch.nn import functional

from unrolled.cell import Initial
from unrolled.cells import by_name
from unrolled.layers import Pooling, Recurrent
from unrolled.models import SequenceNetwork
from unrolled.train import Carry, LossOutput, Trainer, TrainResult, TrainSettings, mse, seeded

# Learning rates by the steps of a sequence and by cell.
RATES: dict[int, dict[str, tuple[float, ...]]] = {
    200: {"rnn": (1e-2, 1e-3), "lstm": (1e-2,), "gru": (1e-2,)},
    600: {"lstm": (1e-2,), "gru": (1e-2,)},
}
QUICK = {200: 10, 600: 20}
SOLVED = 0.001
# The tanh network fails where it is no better than nine tenths of always answering 1.
CHANCE = 1 / 6
FAILED = 0.9 * CHANCE
BATCH, HELD_OUT = 50, 1000


def adding(count: int, steps: int, rng: np.random.Generator) -> Batch:
    """Sequences (B, T, 2) of numbers and marks, and the sums (B,) of the numbers that are marked."""
    numbers, marks = rng.random((count, steps)), np.zeros((count, steps))
    rows, half = np.arange(count), steps // 2
    marks[rows, rng.integers(0, half, count)] = 1
    marks[rows, rng.integers(half, steps, count)] = 1
    pair = np.stack([numbers, marks], -1).astype(np.float32)
    return torch.from_numpy(pair), torch.from_numpy((numbers * marks).sum(1).astype(np.float32))


@dataclass(frozen=True)
class Adding:
    """The regressor and the sequences that measure it; it learns sums of mean 0 and deviation 1, as the task does."""

    module: SequenceNetwork
    held_out: Batch

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        """Mean squared error of standardised sums."""
        inputs, sums = batch
        wanted = (sums - 1) / math.sqrt(CHANCE)
        return LossOutput(functional.mse_loss(self.module(inputs)[:, 0], wanted), len(sums))

    def evaluate(self) -> dict[str, float]:
        """Mean squared error of the sums themselves."""
        inputs, sums = self.held_out
        answers = torch.cat([self.module(part)[:, 0] for part in torch.split(inputs, BATCH)]) * math.sqrt(CHANCE) + 1
        return {"mse": mse(sums, answers)}


@dataclass(frozen=True)
class Trained:
    """One training: its course and its error, of the weights that were best on the held-out sequences, on new ones."""

    rate: float
    error: float
    result: TrainResult
    course: list[tuple[float, float]]


def network(cell: str, length: int, hidden: int) -> SequenceNetwork:
    """One layer that ends in a number; gates, where there are any, start so that they remember up to `length` steps."""
    layer = Recurrent(by_name(cell), 2, hidden, initial=Initial(chrono=length))
    return SequenceNetwork(None, layer, Pooling("last", layer.output_size), 1)


def learn(cell: str, length: int, rate: float, seed: int, options: argparse.Namespace) -> Trained:
    """Train one cell, and measure it on sequences that neither trained it nor chose its weights."""
    with seeded(seed):
        module = network(cell, length, options.hidden)
    settings = TrainSettings(
        learning_rate=rate,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        final_fraction=0.0,
        total_steps=options.steps,
        warmup=min(100, options.steps // 10),
        evaluate_every=max(10, options.steps // 20),
        checkpoint_every=None,
        metric="mse",
        seed=seed,
    )
    objective = Adding(module, adding(HELD_OUT, length, np.random.default_rng((seed, 1))))
    course = Course("mse")
    batches = FreshBatches(lambda rng, step: adding(BATCH, length, rng), seed)
    result = Trainer(objective, batches, settings, observers=(course,)).fit()
    module.eval()
    with torch.no_grad():
        error = Adding(module, adding(HELD_OUT, length, np.random.default_rng((seed, 2)))).evaluate()["mse"]
    print(f"memory: {length} steps, {cell} seed {seed}, learning rate {rate:g}: {error:.6f}", flush=True)
    return Trained(rate, error, result, course.points)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the cells, draw their courses, report."""
    begin = time.perf_counter()
    found = parser("The adding problem.", seeds=1)
    found.add_argument("--length", type=int, choices=RATES, default=min(RATES), help="steps of a sequence")
    found.add_argument("--steps", type=int, default=2000, help="training steps")
    found.add_argument("--hidden", type=int, default=64, help="units")
    options = parse(found, arguments)
    if options.quick:
        options.steps, options.hidden = 20, 8
    length = options.length
    best = {cell: [attempt(length, cell, seed, options) for seed in range(options.seeds)] for cell in RATES[length]}
    claims = [
        Claim(f"mean squared error of {cell}, {length} steps", mean(one.error for one in runs), *bound(cell))
        for cell, runs in best.items()
    ]
    columns = ("cell", "seed", "learning rate", "mean squared error", "training steps", "seconds")
    lines = [line(cell, seed, one) for cell, runs in best.items() for seed, one in enumerate(runs)]
    name = "memory" if length == min(RATES) else f"memory-{length}"
    picture = None
    if options.results is not None:
        picture = f"{name}.png"
        courses = {cell: runs[0].course for cell, runs in best.items()}
        axes = ("training step", "mean squared error")
        draw(options.results / picture, axes, courses, targets=(SOLVED,), logarithmic=True)
    table = Table(columns, tuple(lines))
    remarks = str(__doc__).replace("over 200 and over 600 steps", f"over {length} steps")
    return report(name, options, claims, table=table, begin=begin, remarks=remarks, picture=picture)


def attempt(length: int, cell: str, seed: int, options: argparse.Namespace) -> Trained:
    """The best of a cell's learning rates."""
    steps = QUICK[length] if options.quick else length
    rates = RATES[length][cell]
    return min((learn(cell, steps, rate, seed, options) for rate in rates), key=lambda one: one.error)


def bound(cell: str) -> tuple[float, bool]:
    """A claim's target and direction: the plain network is to fail."""
    return (FAILED, False) if cell == "rnn" else (SOLVED, True)


def line(cell: str, seed: int, one: Trained) -> tuple[str | float | int, ...]:
    """A line of the table."""
    return cell, seed, one.rate, round(one.error, 6), one.result.step, round(one.result.seconds, 1)


if __name__ == "__main__":
    raise SystemExit(main())
