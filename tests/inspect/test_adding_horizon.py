"""On the adding problem the cells look back as far as they should, and are said to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.cell import Initial
from unrolled.cells import by_name
from unrolled.inspect import compare_horizons, gradient_through_time, memory_horizon
from unrolled.layers import Pooling, Recurrent
from unrolled.models import SequenceNetwork

STEPS = 40


def adding(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Numbers and marks (B, T, 2), and the sums of the two marked numbers, of mean 0 and deviation 1."""
    numbers, marks = rng.random((count, STEPS)), np.zeros((count, STEPS))
    rows, half = np.arange(count), STEPS // 2
    marks[rows, rng.integers(0, half, count)] = 1
    marks[rows, rng.integers(half, STEPS, count)] = 1
    sums = ((numbers * marks).sum(1) - 1) * np.sqrt(6)
    return torch.from_numpy(np.stack([numbers, marks], -1)).float(), torch.from_numpy(sums).float()


def trained(cell: str) -> SequenceNetwork:
    torch.manual_seed(0)
    layer = Recurrent(by_name(cell), 2, 16, initial=Initial(chrono=STEPS))
    module = SequenceNetwork(None, layer, Pooling("last", layer.output_size), 1)
    optimiser, rng = torch.optim.Adam(module.parameters(), 1e-2), np.random.default_rng(0)
    for step in range(250):
        x, wanted = adding(50, rng)
        loss = functional.mse_loss(module(x)[:, 0], wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / 250)
        optimiser.step()
    return module.eval()


@pytest.fixture(scope="module")
def modules() -> dict[str, SequenceNetwork]:
    return {cell: trained(cell) for cell in ("rnn", "lstm", "gru")}


def test_gated_cells_look_back_to_the_first_numbers(modules: dict[str, SequenceNetwork]) -> None:
    x, _ = adding(64, np.random.default_rng(1))
    found = {cell: memory_horizon(module.recurrent, x)[0] for cell, module in modules.items()}
    assert found["rnn"].horizon < 0.8 * STEPS
    assert found["lstm"].horizon > 0.9 * STEPS
    assert found["gru"].horizon > 0.9 * STEPS
    # Of what one input changes, the tanh network has lost most when the gated cells still have it.
    assert found["rnn"].curve[-1] < 0.2 * min(found["lstm"].curve[-1], found["gru"].curve[-1])
    assert "remembers further back than rnn" in compare_horizons(found)[-1]


def test_the_verdict_says_so(modules: dict[str, SequenceNetwork]) -> None:
    x, wanted = adding(32, np.random.default_rng(2))
    kinds = {}
    for cell, module in modules.items():
        (one,) = gradient_through_time(module, lambda m=module: functional.mse_loss(m(x)[:, 0], wanted))
        kinds[cell] = one.verdict.kind
    assert kinds == {"rnn": "vanishing", "lstm": "healthy", "gru": "healthy"}
