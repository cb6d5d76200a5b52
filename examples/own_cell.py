"""A cell of one's own: five lines of equations become a layer, checked, timed and printed.

The task: add up the marked numbers of a sequence and ignore the others. A gate decides what is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import unrolled as ur
from unrolled.cell import Cell, sigmoid, state, tanh, to_text, trace


@dataclass(frozen=True)
class Counter(Cell):
    """h_t = h_{t-1} + a tanh(n): a memory that only ever adds, under a gate a that sees the input alone."""

    gates = ("a", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        a = sigmoid(x.a)
        n = tanh(x.n)
        h = s.h + a * n
        return h, self.next(h=h)


class Network(nn.Module):
    """The cell and one number read from its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = ur.Recurrent(Counter(), 2, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.recurrent(x)
        return self.head(outputs[:, -1]).squeeze(1)


def batch(rows: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers and marks (B, T, 2), and the sum of the marked numbers (B,)."""
    numbers = torch.rand(rows, steps) * 2 - 1
    marks = torch.randint(0, 2, (rows, steps)).float()
    return torch.stack([numbers, marks], 2), (numbers * marks).sum(1)


def main(steps: int = 200) -> float:
    """Train on 20 steps for a few seconds, then measure on 100; returns the share of the variance explained."""
    torch.manual_seed(0)
    print(to_text(trace(Counter())))
    network = Network()
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    for number in range(steps):
        x, total = batch(64, 20)
        loss = nn.functional.mse_loss(network(x), total)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if number % 50 == 0:
            print(f"step {number:>3}  squared error {loss.item():.3f}")
    with torch.no_grad():
        x, total = batch(500, 100)
        explained = 1 - float(nn.functional.mse_loss(network(x), total) / total.var())
    print(f"on sequences five times as long: {explained:.1%} of the variance explained")
    return explained


if __name__ == "__main__":
    main()
