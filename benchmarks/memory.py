"""The adding problem: which cells remember a number over 200 steps.

At each step a network reads a number from 0 to 1 and a mark, which is 1 at two steps, one in either half; the answer is
the sum of the two marked numbers (Hochreiter & Schmidhuber 1997). Whoever always answers 1 has a mean squared error of
1/6. The regressor (one layer of 64 units, last state, linear output) reads freshly made batches; the gates of LSTM and
GRU start by the chrono rule (Tallec & Ollivier 2018), the tanh network has no gate that could. It is tried at two
learning rates and the better one counts.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
from pictures import draw
from reporting import Claim, Table, parse, parser, report
from torch import Tensor
from torch.nn import functional

from unrolled.cell import Initial
from unrolled.cells import by_name
from unrolled.layers import Pooling, Recurrent
from unrolled.models import SequenceNetwork
from unrolled.train import Carry, Evaluation, LossOutput, Observer, Trainer, TrainResult, TrainSettings, mse, seeded

RATES = {"rnn": (1e-2, 1e-3), "lstm": (1e-2,), "gru": (1e-2,)}
SOLVED = 0.001
# The tanh network fails where it is no better than nine tenths of always answering 1.
CHANCE = 1 / 6
FAILED = 0.9 * CHANCE
BATCH, HELD_OUT, EPOCH = 50, 1000, 100

Batch = tuple[Tensor, Tensor]


def adding(count: int, steps: int, rng: np.random.Generator) -> Batch:
    """Sequences (B, T, 2) of numbers and marks, and the sums (B,) of the numbers that are marked."""
    numbers, marks = rng.random((count, steps)), np.zeros((count, steps))
    rows, half = np.arange(count), steps // 2
    marks[rows, rng.integers(0, half, count)] = 1
    marks[rows, rng.integers(half, steps, count)] = 1
    pair = np.stack([numbers, marks], -1).astype(np.float32)
    return torch.from_numpy(pair), torch.from_numpy((numbers * marks).sum(1).astype(np.float32))


@dataclass(frozen=True)
class FreshBatches:
    """New sequences in every batch, drawn from (seed, epoch, place)."""

    steps: int
    seed: int

    def __len__(self) -> int:
        return EPOCH

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from the `start`-th on."""
        for place in range(start, EPOCH):
            yield adding(BATCH, self.steps, np.random.default_rng((self.seed, number, place)))


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


class Course(Observer):
    """Step and error of every evaluation."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def on_evaluate(self, evaluation: Evaluation) -> None:
        """Keep one."""
        self.points.append((evaluation.step, evaluation.metrics["mse"]))


@dataclass(frozen=True)
class Trained:
    """One training: its course and its error, of the weights that were best on the held-out sequences, on new ones."""

    rate: float
    error: float
    result: TrainResult
    course: list[tuple[float, float]]


def network(cell: str, steps: int, hidden: int) -> SequenceNetwork:
    """One layer that ends in a number; gates, where there are any, start so that they remember up to `steps` steps."""
    layer = Recurrent(by_name(cell), 2, hidden, initial=Initial(chrono=steps))
    return SequenceNetwork(None, layer, Pooling("last", layer.output_size), 1)


def learn(cell: str, rate: float, seed: int, options: argparse.Namespace) -> Trained:
    """Train one cell, and measure it on sequences that neither trained it nor chose its weights."""
    steps = options.length
    with seeded(seed):
        module = network(cell, steps, options.hidden)
    settings = TrainSettings(
        learning_rate=rate,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        final_fraction=0.0,
        total_steps=options.steps,
        warmup=min(100, options.steps // 10),
        evaluate_every=max(1, options.steps // 20),
        checkpoint_every=None,
        metric="mse",
        seed=seed,
    )
    objective = Adding(module, adding(HELD_OUT, steps, np.random.default_rng((seed, 1))))
    course = Course()
    result = Trainer(objective, FreshBatches(steps, seed), settings, observers=(course,)).fit()
    module.eval()
    with torch.no_grad():
        error = Adding(module, adding(HELD_OUT, steps, np.random.default_rng((seed, 2)))).evaluate()["mse"]
    print(f"memory: {cell} seed {seed}, learning rate {rate:g}: {error:.6f} in {result.seconds:.0f} s", flush=True)
    return Trained(rate, error, result, course.points)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the three cells, draw their courses, report."""
    begin = time.perf_counter()
    found = parser("The adding problem.", seeds=1)
    found.add_argument("--length", type=int, default=200, help="steps of a sequence")
    found.add_argument("--steps", type=int, default=2000, help="training steps")
    found.add_argument("--hidden", type=int, default=64, help="units")
    options = parse(found, arguments)
    if options.quick:
        options.length, options.steps, options.hidden = 10, 20, 8
    seeds = range(options.seeds)
    best = {cell: [attempt(cell, seed, options) for seed in seeds] for cell in RATES}
    claims = [
        Claim(f"mean squared error of {cell}", mean(one.error for one in runs), *bound(cell))
        for cell, runs in best.items()
    ]
    columns = ("cell", "seed", "learning rate", "mean squared error", "steps", "seconds")
    lines = [line(cell, seed, one) for cell, runs in best.items() for seed, one in enumerate(runs)]
    picture = None
    if options.results is not None:
        picture = "memory.png"
        courses = {cell: runs[0].course for cell, runs in best.items()}
        axes = ("step", "mean squared error")
        draw(options.results / picture, axes, courses, targets=(SOLVED,), logarithmic=True)
    table = Table(columns, tuple(lines))
    return report("memory", options, claims, table=table, begin=begin, remarks=__doc__, picture=picture)


def attempt(cell: str, seed: int, options: argparse.Namespace) -> Trained:
    """The best of a cell's learning rates."""
    return min((learn(cell, rate, seed, options) for rate in RATES[cell]), key=lambda one: one.error)


def bound(cell: str) -> tuple[float, bool]:
    """A claim's target and direction: the plain network is to fail."""
    return (FAILED, False) if cell == "rnn" else (SOLVED, True)


def line(cell: str, seed: int, one: Trained) -> tuple[str | float | int, ...]:
    """A line of the table."""
    return cell, seed, one.rate, round(one.error, 6), one.result.step, round(one.result.seconds, 1)


if __name__ == "__main__":
    raise SystemExit(main())
