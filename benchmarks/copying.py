"""Copy memory: ten symbols, a thousand steps of nothing, and then the same ten symbols.

A network reads ten symbols of eight kinds, then 999 blanks, a sign to begin and ten blanks more, and is to answer with
blanks until behind the sign and there with the ten symbols (Hochreiter & Schmidhuber 1997, in the form of Arjovsky et
al. 2016). Whoever remembers nothing has a cross-entropy of 10 ln 8 / 1020 = 0.0204 nats a step and one symbol in eight
right. One layer whose gates start by the chrono rule (Tallec & Ollivier 2018); in training the pause grows from ten
steps to the full length, in equal ratios, over the first seven tenths of the steps. Measured at full length.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fresh import Batch, Course, FreshBatches
from pictures import draw
from reporting import Claim, Table, parse, parser, report
from torch.nn import functional

from unrolled.cell import Initial
from unrolled.cells import by_name
from unrolled.layers import Recurrent
from unrolled.models import LanguageNetwork
from unrolled.train import Carry, LossOutput, Trainer, TrainSettings, seeded

KINDS, SYMBOLS = 8, 10
BLANK, SIGN = KINDS, KINDS + 1
CELLS = ("lstm", "gru")
RECALLED = 0.99
FIRST, GROWING = 10, 0.7


def copying(count: int, pause: int, rng: np.random.Generator) -> Batch:
    """Inputs and targets (B, pause + 20)."""
    symbols = rng.integers(KINDS, size=(count, SYMBOLS))
    inputs = np.full((count, pause + 2 * SYMBOLS), BLANK)
    targets = inputs.copy()
    inputs[:, :SYMBOLS] = symbols
    inputs[:, pause + SYMBOLS - 1] = SIGN
    targets[:, -SYMBOLS:] = symbols
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def pause_at(step: int, options: argparse.Namespace) -> int:
    """How long the pause is at a step of the training."""
    grown = min(1.0, step / max(1, GROWING * options.steps))
    pause: int = round(FIRST ** (1 - grown) * options.pause**grown)
    return pause


@dataclass(frozen=True)
class Copying:
    """The network and the sequences that measure it."""

    module: LanguageNetwork
    held_out: Batch

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        """Mean cross-entropy of all steps."""
        inputs, targets = batch
        return LossOutput(self.module.loss(inputs, targets)[0], inputs.numel())

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy a step in nats, and the share of the ten symbols that are right."""
        inputs, targets = self.held_out
        logits = torch.cat([self.module(part)[0] for part in torch.split(inputs, 50)])
        right = (logits[:, -SYMBOLS:].argmax(-1) == targets[:, -SYMBOLS:]).float().mean()
        return {
            "loss": float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten())),
            "accuracy": float(right),
        }


def learn(cell: str, options: argparse.Namespace) -> tuple[dict[str, float], Course, float]:
    """What a cell reaches on new sequences, its course, and its seconds of training."""
    with seeded(options.seed):
        layer = Recurrent(by_name(cell), KINDS + 2, options.hidden, initial=Initial(chrono=options.pause))
        module = LanguageNetwork(KINDS + 2, KINDS + 2, layer)
    settings = TrainSettings(
        learning_rate=options.learning_rate,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        total_steps=options.steps,
        warmup=min(100, options.steps // 10),
        evaluate_every=max(10, options.steps // 20),
        checkpoint_every=None,
        metric="accuracy",
        settle=GROWING,
        seed=options.seed,
    )
    course = Course("accuracy")
    batches = FreshBatches(lambda rng, step: copying(options.batch, pause_at(step, options), rng), options.seed)
    objective = Copying(module, copying(100, options.pause, np.random.default_rng((options.seed, 1))))
    result = Trainer(objective, batches, settings, observers=(course,)).fit()
    module.eval()
    with torch.no_grad():
        found = Copying(module, copying(500, options.pause, np.random.default_rng((options.seed, 2)))).evaluate()
    print(f"copying: {cell}: {found} in {result.seconds:.0f} s", flush=True)
    return found, course, result.seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the cells, draw their courses, report."""
    begin = time.perf_counter()
    found = parser("Copy memory.")
    found.add_argument("--cells", nargs="+", default=CELLS, help="cells to train")
    found.add_argument("--pause", type=int, default=1000, help="steps between the symbols and their copy")
    found.add_argument("--steps", type=int, default=4000, help="training steps")
    found.add_argument("--hidden", type=int, default=128, help="units")
    found.add_argument("--batch", type=int, default=32, help="sequences in a batch")
    found.add_argument("--learning-rate", type=float, default=2e-3, help="highest learning rate")
    found.add_argument("--seed", type=int, default=0, help="of weights and sequences")
    options = parse(found, arguments)
    if options.quick:
        options.pause, options.steps, options.hidden = 20, 20, 8
    cells = {cell: learn(cell, options) for cell in options.cells}
    claims = [
        Claim(f"symbols recalled by {cell}", found["accuracy"], RECALLED) for cell, (found, _, _) in cells.items()
    ]
    columns = ("cell", "nats a step", "symbols recalled", "steps", "seconds")
    lines = tuple(
        (cell, f"{found['loss']:.2g}", round(found["accuracy"], 4), options.steps, round(seconds, 1))
        for cell, (found, _, seconds) in cells.items()
    )
    picture = None
    if options.results is not None:
        picture = "copying.png"
        courses = {cell: course.points for cell, (_, course, _) in cells.items()}
        draw(options.results / picture, ("training step", "symbols recalled"), courses, targets=(RECALLED, 1 / KINDS))
    table = Table(columns, lines)
    return report("copying", options, claims, table=table, begin=begin, remarks=str(__doc__), picture=picture)


if __name__ == "__main__":
    raise SystemExit(main())
