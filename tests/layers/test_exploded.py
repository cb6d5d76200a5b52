"""A network in which one gate of one layer explodes at one step: its name is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled.cell import Cell, exp, sqrt, state, tanh
from unrolled.layers import Recurrent, blame

BATCH, STEPS, FEATURES, HIDDEN = 3, 9, 4, 5


@dataclass(frozen=True)
class Explosive(Cell):
    """Gate e overflows where its input is large, and gate q has an infinite slope where its input is 0."""

    gates = ("a", "e", "q")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a, e, q = tanh(x.a + u.a), exp(x.e), sqrt(x.q * x.q)
        h = tanh(a + (e - e) + (q - q))
        return h, self.next(h=h)


class Network(nn.Module):
    def __init__(self, bidirectional: bool = False) -> None:
        super().__init__()
        self.encoder = Recurrent(Explosive(), FEATURES, HIDDEN, layers=2, bidirectional=bidirectional)
        self.output = nn.Linear(self.encoder.output_size, 1)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.mul_(0.5).add_(0.05 if name.endswith("b") else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.encoder(x)[0]).square().mean()


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(4)


def silence(direction: nn.Module) -> None:
    """Unit 0 shows nothing in gate a."""
    for part in (direction.W, direction.U, direction.b):
        part[0] = 0


def overflow(layer: int, step: int, network: Network, x: Tensor, direction: int = 0) -> None:
    """Gate e of a layer gets a thousand from its first input, which is 1 at one step and 0 elsewhere."""
    with torch.no_grad():
        x[:, :, 0] = 0
        x[1, step, 0] = 1
        if layer == 1:
            # unit 0 of the layer below shows its first input and nothing else
            below = network.encoder.stack[0].forwards
            silence(below)
            below.W[0, 0] = 20
        W = network.encoder.stack[layer].directions[direction].W
        W[HIDDEN + 2, :] = 0
        W[HIDDEN + 2, 0] = 1000


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize(("layer", "step"), [(0, 0), (0, 6), (1, 4), (1, 8)])
def test_the_gate_that_overflows_is_named(layer: int, step: int, engine: str) -> None:
    network, x = Network(), torch.rand(BATCH, STEPS, FEATURES)
    network.encoder.engine = engine
    overflow(layer, step, network, x)
    assert not torch.isfinite(network(x))
    found = blame(network, lambda: network(x), False)
    assert found == f"gate e of encoder layer {layer + 1} at time step {step + 1} is the first"
    assert "through" not in vars(network.encoder)


def test_the_direction_is_named() -> None:
    network, x = Network(bidirectional=True), torch.rand(BATCH, STEPS, FEATURES)
    overflow(0, 5, network, x, direction=1)
    found = blame(network, lambda: network(x), False)
    assert found == "gate e of encoder layer 1 backward at time step 6 is the first"


@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize(("layer", "step"), [(0, 0), (0, 6), (1, 4)])
def test_the_gate_whose_gradient_explodes_is_named(layer: int, step: int, memory: str) -> None:
    network, x = Network(), torch.rand(BATCH, STEPS, FEATURES)
    network.encoder.memory = memory
    with torch.no_grad():
        here = network.encoder.stack[layer].forwards
        # the input of unit 3 of gate q is 0 at one step of one row, where its slope is infinite, and nowhere else
        here.W[2 * HIDDEN + 3] = 0
        here.b[2 * HIDDEN + 3] = 0
        here.W[2 * HIDDEN + 3, 0] = 1
        if layer == 1:
            silence(network.encoder.stack[0].forwards)
            network.encoder.stack[0].forwards.W[0, 0] = 1
        x[:, :, 0] = 1
        x[2, step, 0] = 0
    loss = network(x)
    assert torch.isfinite(loss)
    found = blame(network, lambda: network(x), True)
    assert (
        found
        == f"the gradient of gate q of encoder layer {layer + 1} at time step {step + 1} is the first on the way back"
    )


def test_finite_layers_are_not_blamed() -> None:
    network, x = Network(), torch.rand(BATCH, STEPS, FEATURES)
    assert blame(network, lambda: network(x), False) is None
    assert blame(network, lambda: network(x), True) is None
    steep = lambda: network(x) * torch.inf  # noqa: E731
    assert blame(network, steep, True) is None
    broken = torch.full((BATCH, STEPS, FEATURES), torch.nan)
    assert blame(network, lambda: network(broken), False) is None
    assert blame(nn.Linear(2, 2), lambda: torch.zeros((), requires_grad=True), False) is None
    assert blame(nn.Linear(2, 2), lambda: torch.zeros((), requires_grad=True), True) is None


def test_very_long_sequences_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = Network(), torch.rand(BATCH, STEPS, FEATURES)
    overflow(0, 3, network, x)
    monkeypatch.setattr("unrolled.layers.exploded._MOST_STEPS", STEPS - 1)
    assert blame(network, lambda: network(x), False) is None
