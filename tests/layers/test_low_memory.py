"""A layer that computes its steps again instead of keeping them has the gradients of one that keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.cells import by_name, names
from unrolled.engine import Capture, scan, segments
from unrolled.errors import ArgumentError
from unrolled.layers import Captures, Recurrent, Regularisation, State, Structure, unroll

CELLS = names()
BATCH, STEPS, FEATURES, HIDDEN = 3, 11, 4, 6
RAGGED = torch.tensor([11, 0, 4])
EVERYTHING = Regularisation(
    input_dropout=0.1, dropout=0.2, output_dropout=0.3, zoneout=0.2, recurrent_dropout=0.2, weight_drop=0.1,
    layer_norm=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Float64, and segments of three steps, so that eleven steps have borders within and a short last one."""
    monkeypatch.setattr(segments, "_SHORTEST", 3)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    yield
    torch.set_default_dtype(torch.float32)


def start(layer: Recurrent) -> State:
    """Positive numbers, because a normaliser divides."""
    return tuple(
        tuple(type(one)(*(torch.rand_like(s).add(0.5).requires_grad_() for s in one)) for one in directions)
        for directions in layer.initial_state(BATCH)
    )


def flat(state: State) -> list[Tensor]:
    return [s for directions in state for one in directions for s in one]


def both(layer: Recurrent, x: Tensor | None, state: State | None, **given: Any) -> list[list[Tensor]]:
    """Outputs, last state and all gradients with either memory, from the same seed."""
    found = []
    for memory in ("full", "low"):
        layer.memory = memory
        torch.manual_seed(8)
        outputs, last = layer(x, state, **given)
        after = torch.rand(1)  # chance goes on from the same place
        generator = torch.Generator().manual_seed(1)
        parts = [outputs, *flat(last)]
        loss = sum((p.sin() * torch.randn(p.shape, generator=generator)).sum() for p in parts)
        leaves = [*([] if x is None else [x]), *layer.parameters(), *([] if state is None else flat(state))]
        found.append([*(p.detach() for p in parts), *torch.autograd.grad(loss, leaves), after])
    return found


def close(pairs: list[list[Tensor]]) -> None:
    full, low = pairs
    assert len(full) == len(low)
    for a, b in zip(full, low, strict=True):
        assert (a - b).abs().max() <= 1e-12 * max(1.0, float(a.abs().max()))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_ragged_and_in_both_directions(name: str) -> None:
    for bidirectional in (False, True):
        layer = Recurrent(by_name(name), FEATURES, HIDDEN, bidirectional=bidirectional)
        x = torch.randn(BATCH, STEPS, FEATURES, requires_grad=True)
        close(both(layer, x, start(layer), lengths=RAGGED))


@pytest.mark.parametrize("engine", ["compiled", "native", "reference"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_engine_in_depth(engine: str, bidirectional: bool) -> None:
    structure = Structure(residual=True, learned_start=True)
    layer = Recurrent(cells.GRU(), FEATURES, HIDDEN, layers=3, bidirectional=bidirectional, structure=structure)
    layer.engine = engine
    x = torch.randn(BATCH, STEPS, FEATURES, requires_grad=True)
    close(both(layer, x, None))
    close(both(layer, x, None, lengths=RAGGED))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("variational", [False, True])
def test_chance_is_the_same(bidirectional: bool, variational: bool) -> None:
    rates = Regularisation(**{**vars(EVERYTHING), "variational": variational})
    layer = Recurrent(cells.LSTM(), FEATURES, 9, layers=2, bidirectional=bidirectional, regularisation=rates)
    x = torch.randn(BATCH, STEPS, FEATURES, requires_grad=True)
    close(both(layer, x, start(layer), lengths=RAGGED))
    layer.eval()
    close(both(layer, x, start(layer)))


def test_single_precision_too() -> None:
    torch.set_default_dtype(torch.float32)
    layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN, layers=2, regularisation=EVERYTHING)
    full, low = both(layer, torch.randn(BATCH, STEPS, FEATURES, requires_grad=True), None)
    torch.testing.assert_close(full, low, rtol=1e-5, atol=1e-6)


def test_without_input_and_without_gradients_of_the_input() -> None:
    layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN, layers=2)
    close(both(layer, None, start(layer), steps=STEPS))
    x = torch.randn(BATCH, STEPS, FEATURES)
    layer.memory = "low"
    outputs, _ = layer(x)
    outputs.sum().backward()
    low = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer.memory = "full"
    layer(x)[0].sum().backward()
    close([[p.grad for p in layer.parameters()], low])
    with torch.no_grad():
        wanted = layer(x, lengths=RAGGED)
        layer.memory = "low"
        torch.testing.assert_close(layer(x, lengths=RAGGED), wanted, rtol=1e-12, atol=1e-12)


def test_a_loss_that_reads_the_last_state_alone_and_frozen_weights() -> None:
    found = []
    layer = Recurrent(cells.GRU(), FEATURES, HIDDEN, layers=2)
    layer.stack[0].forwards.W.requires_grad_(False)
    x = torch.randn(BATCH, STEPS, FEATURES, requires_grad=True)
    for memory in ("full", "low"):
        layer.memory = memory
        _, ((first,), _) = layer(x)
        leaves = [x, layer.stack[0].forwards.U, layer.stack[1].forwards.U]
        found.append(list(torch.autograd.grad(first.h.sin().sum(), leaves, allow_unused=True)))
    assert found[0].pop() is None
    # the layer above was computed in the same segments, and nothing flows through it
    assert not found[1].pop().any()
    close(found)


def test_a_few_steps_and_none() -> None:
    layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN)
    for steps in (1, 2, 3, 4):
        close(both(layer, torch.randn(BATCH, steps, FEATURES, requires_grad=True), start(layer)))
    layer.memory = "low"
    outputs, _ = layer(torch.randn(BATCH, 0, FEATURES))
    assert outputs.shape == (BATCH, 0, HIDDEN)


def test_what_is_kept_does_not_grow_with_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SHORTEST", 8)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.untyped_storage().nbytes())
        return tensor

    def total(steps: int) -> int:
        kept.clear()
        x = torch.randn(1, steps, FEATURES)
        layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN, layers=2, memory="low")
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            layer(x)
        return sum(kept) - x.nbytes

    assert total(1600) < 2.5 * total(400)


def test_scan_reads_backwards_too() -> None:
    layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN)
    xs, weights = torch.randn(BATCH, STEPS, FEATURES), layer.stack[0].forwards.weights()
    for given in ({}, {"lengths": RAGGED}):
        wanted = scan(cells.LSTM(), weights, xs, reverse=True, **given)
        found = scan(cells.LSTM(), weights, xs, reverse=True, memory="low", **given)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_what_needs_every_step_is_refused_or_kept() -> None:
    layer = Recurrent(cells.LSTM(), FEATURES, HIDDEN, memory="low")
    x = torch.randn(BATCH, STEPS, FEATURES, requires_grad=True)
    weights = layer.stack[0].forwards.weights()
    (first,) = torch.autograd.grad(layer(x)[0].sum(), x)
    with pytest.raises(ArgumentError, match=r"a second derivative was asked of a pass with memory='low'.*'full'"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    with pytest.raises(ArgumentError, match="vmap and forward-mode differentiation look into every step"):
        torch.func.vmap(lambda one: scan(cells.LSTM(), weights, one[None], memory="low")[0])(x.detach())
    with pytest.raises(ArgumentError, match="capture asks for every step"):
        scan(cells.LSTM(), weights, x, capture=Capture("f"), memory="low")
    with pytest.raises(ArgumentError, match="memory is 'little'; give full or low"):
        scan(cells.LSTM(), weights, x, memory="little")
    with pytest.raises(ArgumentError, match="memory is 'little'; give full or low"):
        Recurrent(cells.LSTM(), FEATURES, HIDDEN, memory="little")
    captures = Captures("f")
    outputs, _ = layer(x, capture=captures)
    assert captures["f"][0][0].shape == (BATCH, STEPS, HIDDEN)
    torch.testing.assert_close(torch.autograd.grad(outputs.sum(), x)[0], first)
    torch.testing.assert_close(unroll(layer, STEPS)(x)[0], outputs)


@pytest.mark.parametrize("memory", ["full", "low"])
def test_mixed_precision_leaves_the_recurrent_layers_as_they_are(memory: str) -> None:
    """Under autocast an input in bfloat16 is taken, and the kernels' products are those of the weights' type."""
    torch.set_default_dtype(torch.float32)
    layer = Recurrent(cells.GRU(), FEATURES, HIDDEN, layers=2, memory=memory)
    before = torch.nn.Linear(3, FEATURES)
    x = torch.randn(BATCH, STEPS, 3)
    with torch.autocast("cpu", torch.bfloat16):
        inputs = before(x)
        outputs, state = layer(inputs)
    assert inputs.dtype == torch.bfloat16
    assert outputs.dtype == state[0][0].h.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(inputs.float())[0])
    (outputs.square().sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in (*layer.parameters(), before.weight))
