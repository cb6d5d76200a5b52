"""Sequential MNIST-1D: ten shapes in 40 numbers, read one number a step by LSTM or GRU.

4,000 training series, 1,000 test series (Greydanus & Kobak 2024, who report 91 % for a GRU). Two recurrent layers in
both directions, the largest value of each output over the steps, a linear output. The set's own generator moves each
shape by a random number of steps round the end, so training moves every series anew each time it is read, scales it a
little and adds noise. A tenth of the training part decides which weights are kept; the test part is read once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt
import torch
from fresh import Batch, Course, FreshBatches
from pictures import draw
from reporting import Claim, Table, data_folder, parse, parser, report
from torch.nn import functional

from unrolled.cells import by_name
from unrolled.data import split_rows
from unrolled.layers import Pooling, Recurrent, Regularisation
from unrolled.models import SequenceNetwork
from unrolled.train import Carry, LossOutput, Trainer, TrainSettings, seeded

SERIES = Path("series", "mnist1d.npz")
CELLS = ("lstm", "gru")
PUBLISHED, TARGET = 0.91, 0.94
BATCH, HELD_OUT = 64, 0.1
SCALE, NOISE = 0.1, 0.05

Numbers = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shapes:
    """The classifier and the series that measure it."""

    module: SequenceNetwork
    held_out: Batch

    def loss(self, batch: Batch, carry: Carry) -> LossOutput:
        """Cross-entropy in nats."""
        inputs, labels = batch
        return LossOutput(functional.cross_entropy(self.module(inputs), labels), len(labels))

    def evaluate(self) -> dict[str, float]:
        """Accuracy on series as they are."""
        inputs, labels = self.held_out
        answers = torch.cat([self.module(part).argmax(1) for part in torch.split(inputs, 256)])
        return {"accuracy": float((answers == labels).float().mean())}


def tensors(series: Numbers, labels: Labels) -> Batch:
    """Series (B, T) as inputs (B, T, 1), and labels (B,)."""
    return torch.from_numpy(series)[..., None], torch.from_numpy(labels)


def varied(series: Numbers, rng: np.random.Generator) -> Numbers:
    """The same series (B, T), each moved round its end, scaled, with noise."""
    count, steps = series.shape
    moved = (np.arange(steps) + rng.integers(steps, size=(count, 1))) % steps
    scaled = np.take_along_axis(series, moved, 1) * np.exp(rng.normal(0, SCALE, (count, 1)))
    return (scaled + rng.normal(0, NOISE, series.shape)).astype(np.float32)


def learn(cell: str, seed: int, parts: tuple[Batch, Batch, Batch], options: argparse.Namespace) -> tuple[float, Course]:
    """Accuracy on the test part, and the course on the part that is held out."""
    train, valid, test = parts
    series, labels = train[0][..., 0].numpy(), train[1].numpy()

    def batch(rng: np.random.Generator, step: int) -> Batch:
        rows = rng.integers(len(labels), size=BATCH)
        return tensors(varied(series[rows], rng), labels[rows])

    with seeded(seed):
        layer = Recurrent(
            by_name(cell), 1, options.hidden, layers=2, bidirectional=True, regularisation=Regularisation(dropout=0.1)
        )
        module = SequenceNetwork(None, layer, Pooling("max", layer.output_size, bidirectional=True), 10, dropout=0.2)
    settings = TrainSettings(
        learning_rate=options.learning_rate,
        total_steps=options.steps,
        evaluate_every=max(10, options.steps // 20),
        checkpoint_every=None,
        metric="accuracy",
        settle=0.5,
        seed=seed,
        ema=options.ema,
    )
    course = Course("accuracy")
    result = Trainer(Shapes(module, valid), FreshBatches(batch, seed), settings, observers=(course,)).fit()
    module.eval()
    with torch.no_grad():
        found = Shapes(module, test).evaluate()["accuracy"]
    print(f"mnist1d: {cell} seed {seed}: {found:.4f} in {result.seconds:.0f} s", flush=True)
    return found, course


def read(data: Path, seed: int) -> tuple[Batch, Batch, Batch]:
    """Training, held-out and test part, with the mean and the deviation of the training part taken off."""
    with np.load(data / SERIES) as file:
        found = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    shift, scale = found["x_train"].mean(), found["x_train"].std()
    series = {name: ((found[name] - shift) / scale).astype(np.float32) for name in ("x_train", "x_test")}
    labels = {name: found[name].astype(np.int64) for name in ("y_train", "y_test")}
    rows, held = split_rows(len(labels["y_train"]), HELD_OUT, seed, labels=labels["y_train"].tolist())
    train, valid = (tensors(series["x_train"][part], labels["y_train"][part]) for part in (rows, held))
    return train, valid, tensors(series["x_test"], labels["y_test"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Train both cells, draw their courses, report."""
    begin = time.perf_counter()
    found = parser("Sequential MNIST-1D.", seeds=1)
    found.add_argument("--cells", nargs="+", default=CELLS, help="cells to train")
    found.add_argument("--steps", type=int, default=1500, help="training steps")
    found.add_argument("--hidden", type=int, default=96, help="units of a layer and direction")
    found.add_argument("--learning-rate", type=float, default=4e-3, help="highest learning rate")
    found.add_argument("--ema", type=float, default=0.99, help="factor of the moving average of the weights")
    options = parse(found, arguments)
    if options.quick:
        options.steps, options.hidden = 20, 8
    lines, courses, means = [], {}, {}
    with data_folder(options.quick, make) as data:
        for cell in options.cells:
            runs = [learn(cell, seed, read(data, seed), options) for seed in range(options.seeds)]
            means[cell] = mean(accuracy for accuracy, _ in runs)
            lines += [(cell, seed, round(accuracy, 4), options.steps) for seed, (accuracy, _) in enumerate(runs)]
            courses[cell] = runs[0][1].points
    picture = None
    if options.results is not None:
        picture = "mnist1d.png"
        draw(options.results / picture, ("step", "accuracy, held out"), courses, targets=(PUBLISHED, TARGET))
    claims = [Claim(f"test accuracy of {cell}", value, TARGET) for cell, value in means.items()]
    table = Table(("cell", "seed", "test accuracy", "steps"), tuple(lines))
    return report("mnist1d", options, claims, table=table, begin=begin, remarks=str(__doc__), picture=picture)


def make(folder: Path) -> None:
    """Waves whose frequency is their label."""
    rng = np.random.default_rng(0)
    (folder / SERIES).parent.mkdir()
    labels = rng.integers(10, size=160)
    phase = rng.random((160, 1))
    series = np.sin(2 * np.pi * (phase + np.outer(labels + 1, np.linspace(0, 1, 40)))).astype(np.float32)
    np.savez(folder / SERIES, x_train=series[:120], y_train=labels[:120], x_test=series[120:], y_test=labels[120:])


if __name__ == "__main__":
    raise SystemExit(main())
