"""How far back a tanh network, an LSTM and a GRU look after they have learnt the adding problem over 200 steps.

Each is trained as in the adding problem (memory.json) and then looked into: an input at each distance from the end is
replaced by another one, and the memory horizon is the largest distance at which that still changes the last state by a
hundredth of what two sequences differ by. Gradients are those of the trained network. Beside it, what it costs to
measure the gradient through time every 100 steps while a language model is trained, in processor seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fresh import FreshBatches
from memory import BATCH, HELD_OUT, RATES, Adding, adding, network
from pictures import draw
from reporting import Claim, Table, parse, parser, report

from unrolled.cell import Initial
from unrolled.cells import by_name
from unrolled.inspect import (
    GradientObserver,
    Horizon,
    TimeGradient,
    compare_horizons,
    gradient_through_time,
    memory_horizon,
)
from unrolled.layers import Recurrent
from unrolled.models import LanguageNetwork
from unrolled.train import Carry, LossOutput, Observer, Trainer, TrainSettings, seeded

CELLS = ("rnn", "lstm", "gru")
# A gated cell is to reach the marked numbers of the first half, the tanh network is not.
FAR, NEAR = 150, 100
MOST_COST = 0.03
PROBED = 64


@dataclass(frozen=True)
class Looked:
    """One trained cell: its error, its horizon, its gradient through time."""

    error: float
    horizon: Horizon
    gradient: TimeGradient


def look(cell: str, options: argparse.Namespace) -> Looked:
    """Train a cell and look inside it."""
    with seeded(0):
        module = network(cell, options.length, options.hidden)
    settings = TrainSettings(
        learning_rate=RATES[200][cell][0], betas=(0.9, 0.999), weight_decay=0.0, final_fraction=0.0,
        total_steps=options.steps, warmup=min(100, options.steps // 10), evaluate_every=max(10, options.steps // 10),
        checkpoint_every=None, metric="mse", seed=0,
    )  # fmt: skip
    objective = Adding(module, adding(HELD_OUT, options.length, np.random.default_rng((0, 1))))
    batches = FreshBatches(lambda rng, step: adding(BATCH, options.length, rng), 0)
    error = Trainer(objective, batches, settings).fit().metrics["mse"]
    module.eval()
    x, sums = adding(PROBED, options.length, np.random.default_rng((0, 2)))
    (horizon,) = memory_horizon(module.recurrent, x)
    (gradient,) = gradient_through_time(module, lambda: (module(x)[:, 0] - sums).pow(2).mean())
    print(f"horizon: {cell}: error {error:.5f}, {horizon.words}; {gradient.verdict}", flush=True)
    return Looked(error, horizon, gradient)


@dataclass(frozen=True)
class Random:
    """A language model on random symbols: what it learns does not matter to what a step costs."""

    module: LanguageNetwork

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor], carry: Carry) -> LossOutput:
        """Mean cross-entropy."""
        return LossOutput(self.module.loss(*batch)[0], batch[0].numel())

    def evaluate(self) -> dict[str, float]:
        """Nothing."""
        return {}


def seconds(steps: int, hidden: int, observers: tuple[Observer, ...]) -> float:
    """Processor seconds of a training with these observers, begun after two steps."""
    with seeded(0):
        module = LanguageNetwork(64, hidden, Recurrent(by_name("lstm"), hidden, hidden, initial=Initial()))

    def make(rng: np.random.Generator, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.from_numpy(rng.integers(0, 64, (32, 129)))
        return ids[:, :-1], ids[:, 1:]

    for total in (2, steps):
        settings = TrainSettings(total_steps=total, checkpoint_every=None, evaluate_every=10**9, seed=0)
        begin = time.process_time()
        Trainer(Random(module), FreshBatches(make, 0), settings, observers=observers).fit()
    return time.process_time() - begin


def cost(options: argparse.Namespace) -> float:
    """The share of processor time that measuring every 100 steps adds: the median of several trials.

    Each sets a training that measures at every step beside one that never does, and divides what is more by 100: the
    difference of one step in a hundred would drown in that of two trainings.
    """
    shares = []
    for _ in range(options.trials):
        plain = seconds(options.cost_steps, 128, ())
        watched = seconds(options.cost_steps, 128, (GradientObserver(1),))
        shares.append((watched / plain - 1) / 100)
    return float(np.median(shares))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, look inside, measure the cost, report."""
    begin = time.perf_counter()
    found = parser("Memory horizons.")
    found.add_argument("--length", type=int, default=200, help="steps of a sequence")
    found.add_argument("--steps", type=int, default=2000, help="training steps")
    found.add_argument("--hidden", type=int, default=64, help="units")
    found.add_argument("--trials", type=int, default=5, help="of the cost of the observer")
    found.add_argument("--cost-steps", type=int, default=40, help="training steps in each of them")
    options = parse(found, arguments)
    if options.quick:
        options.length, options.steps, options.hidden, options.trials, options.cost_steps = 12, 10, 8, 1, 4
    cells = {cell: look(cell, options) for cell in CELLS}
    print("\n".join(compare_horizons({cell: one.horizon for cell, one in cells.items()})))
    share = cost(options)
    claims = [
        Claim(f"steps that {cell} looks back", one.horizon.horizon, NEAR if cell == "rnn" else FAR, cell == "rnn")
        for cell, one in cells.items()
    ]
    claims.append(Claim("processor time that measuring every 100 steps adds", share, MOST_COST, most=True))
    columns = ("cell", "mean squared error", "horizon", "gradient", "from step", "factor a step")
    lines = tuple(
        (cell, round(one.error, 6), one.horizon.horizon, verdict.kind, verdict.step or "", round(verdict.rate, 4))
        for cell, one in cells.items()
        for verdict in (one.gradient.verdict,)
    )
    picture = None
    if options.results is not None:
        picture = "horizon.png"
        curves = {
            cell: list(zip(one.horizon.distances.tolist(), np.maximum(one.horizon.curve, 1e-6).tolist(), strict=True))
            for cell, one in cells.items()
        }
        axes = ("steps back", "change of the last state")
        draw(options.results / picture, axes, curves, targets=(0.01,), logarithmic=True)
    table = Table(columns, lines)
    return report("horizon", options, claims, table=table, begin=begin, remarks=str(__doc__), picture=picture)


if __name__ == "__main__":
    raise SystemExit(main())
