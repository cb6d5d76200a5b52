"""Copy memory: ten symbols, a thousand steps of nothing, and then the same ten symbols.

A network reads ten symbols of eight kinds, then 999 blanks, a sign to begin and ten blanks more, and is to answer with
blanks until behind the sign and there with the ten symbols (Hochreiter & Schmidhuber 1997, in the form of Arjovsky et
al. 2016). Whoever remembers nothing has a cross-entropy of 10 ln 8 / 1020 = 0.0204 nats a step and one symbol in eight
right. One layer whose gates start by the chrono rule for a tenth of the pause (Tallec & Ollivier 2018); in training the
pause begins with ten steps and grows by a twentieth whenever the symbols are known well enough. Measured in full.
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
# Steps of the first pause; what it grows by, once the symbols cost fewer nats each on average over some batches.
FIRST, GROWTH, KNOWN, MEMORY = 10, 1.05, 0.1, 0.7
SETTLE = 0.8
# Gates for the whole pause are so closed that the GRU never lets the symbols in.
OPEN = 10


def copying(count: int, pause: int, rng: np.random.Generator) -> Batch:
    """Inputs and targets (B, pause + 20)."""
    symbols = rng.integers(KINDS, size=(count, SYMBOLS))
    inputs = np.full((count, pause + 2 * SYMBOLS), BLANK)
    targets = inputs.copy()
    inputs[:, :SYMBOLS] = symbols
    inputs[:, pause + SYMBOLS - 1] = SIGN
    targets[:, -SYMBOLS:] = symbols
    return torch.from_numpy(inputs), torch.from_numpy(targets)


class Pause:
    """How long the pause of the training sequences is."""

    def __init__(self, full: int) -> None:
        self.full, self.now, self.mean = full, float(min(FIRST, full)), KNOWN / (1 - MEMORY)

    @property
    def steps(self) -> int:
        """The length as a number of steps."""
        return min(self.full, round(self.now))

    def learnt(self, nats: float) -> None:
        """Grow if what a symbol costs has become little."""
        self.mean = MEMORY * self.mean + (1 - MEMORY) * nats
        if self.mean < KNOWN and self.now < self.full:
            self.now, self.mean = self.now * GROWTH, KNOWN / (1 - MEMORY)


@dataclass(frozen=True)
class Copying:
    """The network and the sequences that measure it."""

    module: LanguageNetwork
    held_out: Batch
    pause: Pause

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        """Mean cross-entropy of all steps."""
        inputs, targets = batch
        loss = self.module.loss(inputs, targets)[0]
        self.pause.learnt(float(loss.detach()) * inputs.shape[1] / SYMBOLS)
        return LossOutput(loss, inputs.numel())

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
        initial = Initial(chrono=max(3, options.pause // OPEN))
        layer = Recurrent(by_name(cell), KINDS + 2, options.hidden, initial=initial)
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
        settle=SETTLE,
        seed=options.seed,
    )
    course = Course("accuracy")
    pause = Pause(options.pause)
    batches = FreshBatches(lambda rng, _: copying(options.batch, pause.steps, rng), options.seed)
    objective = Copying(module, copying(100, options.pause, np.random.default_rng((options.seed, 1))), pause)
    result = Trainer(objective, batches, settings, observers=(course,)).fit()
    module.eval()
    with torch.no_grad():
        fresh = copying(500, options.pause, np.random.default_rng((options.seed, 2)))
        found = Copying(module, fresh, pause).evaluate()
    print(f"copying: {cell}: {found} in {result.seconds:.0f} s, pause of {pause.steps} at the end", flush=True)
    return found, course, result.seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the cells, draw their courses, report."""
    begin = time.perf_counter()
    found = parser("Copy memory.")
    found.add_argument("--cells", nargs="+", default=CELLS, help="cells to train")
    found.add_argument("--pause", type=int, default=1000, help="steps between the symbols and their copy")
    found.add_argument("--steps", type=int, default=7500, help="training steps")
    found.add_argument("--hidden", type=int, default=128, help="units")
    found.add_argument("--batch", type=int, default=32, help="sequences in a batch")
    found.add_argument("--learning-rate", type=float, default=1e-2, help="highest learning rate")
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
