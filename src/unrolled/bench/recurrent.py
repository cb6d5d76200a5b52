"""One layer forward and in training: torch.nn and each of our engines, on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from unrolled.bench.timing import Times, interleave
from unrolled.cells import by_name
from unrolled.engine import Weights, scan
from unrolled.errors import EngineError

BASELINE = "torch.nn"
ENGINES = ("compiled", "native", "reference")
TWINS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
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
    """What one cell took at one shape; `difference` is the largest seen between the contestants before timing."""

    cell: str
    shape: Shape
    phase: str
    difference: float
    times: dict[str, Times]


SHAPES = (Shape(100, 1, 64, 64), Shape(100, 32, 64, 128), Shape(50, 64, 128, 256))

Answer = tuple[Tensor, ...]


def compare(shapes: tuple[Shape, ...] = SHAPES, rounds: int = 5) -> Iterator[Row]:
    """A row for each cell, shape and phase; EngineError where the contestants do not agree, and nothing is timed."""
    for name, twin in TWINS.items():
        for shape in shapes:
            torch.manual_seed(0)
            module: nn.RNNBase = twin(shape.input, shape.hidden, batch_first=True)
            runners = _runners(name, module, torch.randn(shape.batch, shape.steps, shape.input))
            for phase, contestants in runners.items():
                difference = _check(name, shape, phase, contestants)
                yield Row(name, shape, phase, difference, interleave(contestants, rounds))


def _runners(name: str, module: nn.RNNBase, xs: Tensor) -> dict[str, dict[str, Callable[[], Answer]]]:
    cell = by_name(name)
    inputs = xs.requires_grad_()

    def ours(engine: str) -> Tensor:
        return scan(cell, _weights(module), inputs, engine=engine)[0]

    forwards: dict[str, Callable[[], Tensor]] = {name: partial(ours, name) for name in ENGINES}
    forwards = {BASELINE: lambda: module(inputs)[0], **forwards}
    leaves = [inputs, *module.parameters()]
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
