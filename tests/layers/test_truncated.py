"""Windows that overlap: outputs and gradients as step by step, with the state cut where a window begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent, State, map_state, truncated

BATCH, FEATURES, HIDDEN = 3, 4, 5


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(5)
    yield
    torch.set_default_dtype(torch.float32)


def brute_force(
    layer: Recurrent, x: Tensor, weights: Tensor, window: int, stride: int, lengths: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """For every step on its own: from the begin of the window that has it as a target, step by step with autograd."""
    parameters = list(layer.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    outputs = torch.zeros(*x.shape[:2], layer.output_size)
    for t in range(x.shape[1]):
        # the first window whose end lies beyond t
        begin = 0
        while begin + window <= t:
            begin += stride
        state: State | None = None
        for s in range(t + 1):
            if s == begin and state is not None:
                state = map_state(Tensor.detach, state)
            y, after = layer.step(x[:, s], state)
            state = after
        y = y * (t < lengths)[:, None]
        outputs[:, t] = y.detach()
        if y.requires_grad:
            found = torch.autograd.grad((y * weights[:, t]).sum(), parameters, allow_unused=True)
            total = [a if b is None else a + b for a, b in zip(total, found, strict=True)]
    return outputs, total


@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize(("steps", "window", "stride"), [(11, 4, 2), (11, 5, 3), (12, 4, 4), (9, 6, 1), (5, 8, 3)])
def test_gradients_flow_over_the_window_and_no_further(steps: int, window: int, stride: int, memory: str) -> None:
    layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN, layers=2, memory=memory)
    x, weights = torch.randn(BATCH, steps, FEATURES), torch.randn(BATCH, steps, HIDDEN)
    for lengths in (None, torch.tensor([steps, 0, steps - 4])):
        ends = torch.full((BATCH,), steps) if lengths is None else lengths
        wanted, gradients = brute_force(layer, x, weights, window, stride, ends)
        layer.zero_grad()
        outputs, places = [], []
        for part in truncated(layer, x, window=window, stride=stride, lengths=lengths):
            (part.outputs * weights[:, part.steps]).sum().backward()
            outputs.append(part.outputs.detach())
            places += range(steps)[part.steps]
        assert places == list(range(steps))
        torch.testing.assert_close(torch.cat(outputs, 1), wanted, rtol=1e-12, atol=1e-12)
        for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-11, atol=1e-11)
        whole = layer(x, lengths=lengths)[1]
        torch.testing.assert_close(part.state, whole, rtol=1e-12, atol=1e-12)


def test_a_window_as_long_as_the_sequence_is_exact_and_goes_on_from_a_state() -> None:
    layer = Recurrent(cells.GRU(), FEATURES, HIDDEN)
    x = torch.randn(BATCH, 7, FEATURES)
    _, state = layer(torch.randn(BATCH, 2, FEATURES))
    (part,) = truncated(layer, x, state, window=9)
    torch.testing.assert_close(part.outputs, layer(x, state)[0])
    assert part.steps == slice(0, 7)


def test_weights_may_change_between_windows() -> None:
    layer = Recurrent(cells.GRU(), FEATURES, HIDDEN)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.5)
    losses = []
    x = torch.randn(BATCH, 1, FEATURES).expand(-1, 60, -1)
    for part in truncated(layer, x, window=8, stride=2):
        loss = (part.outputs - 0.3).square().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_what_does_not_go_is_refused() -> None:
    layer = Recurrent(cells.GRU(), FEATURES, HIDDEN)
    x = torch.randn(BATCH, 7, FEATURES)
    for stride in (0, 5):
        with pytest.raises(ArgumentError, match=f"windows of 4 steps advance by {stride}; give a stride from 1 to 4"):
            truncated(layer, x, window=4, stride=stride)
    both = Recurrent(cells.GRU(), FEATURES, HIDDEN, bidirectional=True)
    with pytest.raises(ArgumentError, match="a bidirectional layer cannot be read in windows"):
        truncated(both, x, window=4)
