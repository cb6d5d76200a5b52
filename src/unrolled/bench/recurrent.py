"""One layer forward and in training: torch.nn, where it has the cell, and each of our engines, on the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.bench.timing import Times, interleave
from unrolled.cell import Cell, Sizes, initial_values, trace
from unrolled.cells import by_name
from unrolled.engine import Weights, scan
from unrolled.errors import EngineError

BASELINE = "torch.nn"
ENGINES = ("compiled", "native", "reference")
ANY_CELL = ("reference", "compiled")
"""Engines that take a cell which torch has not; the first is the baseline."""
TWINS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {name: by_name(name) for name in TWINS}
PASSES = {"forward": 1, "training": 3}
"""Products of a phase, in those of the forward pass: training has one more for the input's and for the weights'
gradient."""
TOLERANCE = 1e-4
"""Largest difference allowed in float32, relative to the largest number of what is compared."""


@dataclass(frozen=True)
class Shape:
    """Steps T, rows B, input width F and hidden units H."""

    steps: int
    batch: int
    input: int
    hidden: int

    def __str__(self) -> str:
        return f"T={self.steps} B={self.batch} F={self.input} H={self.hidden}"


@dataclass(frozen=True)
class Row:
    """What one cell took at one shape; `difference` is the largest seen between the contestants before timing.

    The first of `times` is the baseline. `flops`: multiplications and additions in the products of one run.
    """

    cell: str
    shape: Shape
    phase: str
    difference: float
    times: dict[str, Times]
    flops: int

    def ratio(self, name: str) -> float:
        """The baseline's least time over that of a contestant."""
        return next(iter(self.times.values())).least / self.times[name].least

    def speed(self, name: str) -> float:
        """FLOP/s of a contestant's best round."""
        return self.flops / self.times[name].least


SHAPES = (Shape(100, 1, 64, 64), Shape(100, 32, 64, 128), Shape(50, 64, 128, 256))

Answer = tuple[Tensor, ...]


def compare(
    shapes: tuple[Shape, ...] = SHAPES,
    rounds: int = 5,
    *,
    cells: Mapping[str, Cell] = CELLS,
    longest: float = math.inf,
) -> Iterator[Row]:
    """A row for each cell, shape and phase; EngineError where the contestants do not agree, and nothing is timed.

    A cell under the name of one of `TWINS` has torch.nn for its baseline, any other the reference engine. A contestant
    that has taken more than `longest` seconds at one shape and phase runs no more rounds there.
    """
    for name, cell in cells.items():
        for shape in shapes:
            torch.manual_seed(0)
            xs = torch.randn(shape.batch, shape.steps, shape.input, requires_grad=True)
            forwards, parameters = _beside_torch(name, cell, shape, xs) if name in TWINS else _alone(cell, shape, xs)
            matrices = sum(p.numel() for p in parameters if p.dim() == 2)
            for phase, contestants in _phases(forwards, [xs, *parameters]).items():
                difference = _check(name, shape, phase, contestants)
                flops = PASSES[phase] * 2 * shape.steps * shape.batch * matrices
                yield Row(name, shape, phase, difference, interleave(contestants, rounds, longest), flops)


Forwards = dict[str, Callable[[], Tensor]]


def _beside_torch(name: str, cell: Cell, shape: Shape, xs: Tensor) -> tuple[Forwards, list[Tensor]]:
    """Torch's layer and our engines on its parameters."""
    module: nn.RNNBase = TWINS[name](shape.input, shape.hidden, batch_first=True)

    def ours(engine: str) -> Tensor:
        return scan(cell, _weights(module), xs, engine=engine)[0]

    forwards: Forwards = {BASELINE: lambda: module(xs)[0]}
    forwards |= {engine: partial(ours, engine) for engine in ENGINES}
    return forwards, list(module.parameters())


def _alone(cell: Cell, shape: Shape, xs: Tensor) -> tuple[Forwards, list[Tensor]]:
    """Our engines on weights of our own."""
    values = initial_values(trace(cell), Sizes(shape.input, shape.hidden, shape.hidden), np.random.default_rng(0))
    named = {k: torch.from_numpy(v.astype(np.float32)).requires_grad_() for k, v in values.items()}
    weights = Weights.from_dict(named)

    def ours(engine: str) -> Tensor:
        return scan(cell, weights, xs, engine=engine)[0]

    return {engine: partial(ours, engine) for engine in ANY_CELL}, list(named.values())


def _phases(forwards: Forwards, leaves: list[Tensor]) -> dict[str, dict[str, Callable[[], Answer]]]:
    return {
        "forward": {key: partial(_without_gradient, run) for key, run in forwards.items()},
        "training": {key: partial(_with_gradients, run, leaves) for key, run in forwards.items()},
    }


def _without_gradient(run: Callable[[], Tensor]) -> Answer:
    with torch.no_grad():
        return (run(),)


def _with_gradients(run: Callable[[], Tensor], leaves: list[Tensor]) -> Answer:
    outputs = run()
    return (outputs, *torch.autograd.grad(outputs.square().mean(), leaves))


def _weights(module: nn.RNNBase) -> Weights:
    """The parameters of a torch layer in our form: one bias a gate, and a recurrent one where the GRU needs it."""
    parameters = dict(module.named_parameters())
    b, c = parameters["bias_ih_l0"], parameters["bias_hh_l0"]
    named = {"W": parameters["weight_ih_l0"], "U": parameters["weight_hh_l0"], "b": b + c}
    if isinstance(module, nn.GRU):
        joined = 2 * module.hidden_size
        named |= {"b": torch.cat([b[:joined] + c[:joined], b[joined:]]), "c": c[joined:]}
    return Weights.from_dict(named)


def _check(name: str, shape: Shape, phase: str, contestants: dict[str, Callable[[], Answer]]) -> float:
    expected, *others = (run() for run in contestants.values())
    worst = max(_distance(a, b) for answer in others for a, b in zip(answer, expected, strict=True))
    if not worst <= TOLERANCE:
        raise EngineError(
            f"{name} at {shape}, {phase}: the engines differ by {worst:.1e}, more than {TOLERANCE:.0e}, so nothing is "
            "timed; please report it."
        )
    return worst


def _distance(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())
