"""The step of a stream, found once: the same numbers, and never after what it was found for has changed."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch

from unrolled.cells import GRU, LSTM
from unrolled.layers import Recurrent
from unrolled.layers.bound import BoundStep
from unrolled.layers.recurrent import Structure


@pytest.fixture
def layer() -> Recurrent:
    torch.manual_seed(1)
    return Recurrent(LSTM(), 16, 32, layers=2).eval()


@torch.no_grad()
def bound_of(layer: Recurrent) -> BoundStep | None:
    x = torch.randn(1, layer.input_size)
    for _ in range(2):
        _, state = layer.step(x, layer.initial_state(1))
    return layer.bound_step(x, state)


@torch.no_grad()
def test_it_steps_as_the_layer_does(layer: Recurrent) -> None:
    bound = bound_of(layer)
    assert bound is not None
    xs = torch.randn(1, 7, 16)
    outputs, last = layer(xs)
    state = layer.initial_state(1)
    for t in range(7):
        y, state = bound(xs[:, t], state)
        torch.testing.assert_close(y, outputs[:, t])
    torch.testing.assert_close(state, last)
    assert bound.ready


def test_it_is_ready_no_more_when_something_changed(layer: Recurrent) -> None:
    bound = bound_of(layer)
    assert bound is not None
    layer.train()
    assert not bound.ready
    layer.eval()
    elsewhere: list[bool] = []
    thread = threading.Thread(target=lambda: elsewhere.append(bound.ready))
    thread.start()
    thread.join()
    assert elsewhere == [False]
    assert bound.ready
    weight = layer.stack[1].forwards.W
    weight.data = weight.data.clone()
    assert not bound.ready


def test_a_parameter_put_in_place_of_another_is_seen(layer: Recurrent) -> None:
    x, state = torch.randn(1, 16), layer.initial_state(1)
    with torch.no_grad():
        for _ in range(2):
            before = layer.step(x, state)[0]
        own = layer.stack[0].forwards
        own.W = torch.nn.Parameter(own.W * 2)
        after = layer.step(x, state)[0]
        torch.testing.assert_close(after, layer(x[:, None])[0][:, 0])
    assert not torch.allclose(before, after)


def test_copies_of_a_layer_have_steps_of_their_own(layer: Recurrent) -> None:
    x, state = torch.randn(1, 16), layer.initial_state(1)
    with torch.no_grad():
        before = layer.step(x, state)[0]
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            for parameter in other.parameters():
                parameter.mul_(2)
            torch.testing.assert_close(layer.step(x, state)[0], before)
            torch.testing.assert_close(other.step(x, state)[0], other(x[:, None])[0][:, 0])


def test_where_there_is_more_than_the_cells_there_is_none(layer: Recurrent) -> None:
    layer.train()
    assert layer.bound_step(torch.randn(1, 16), layer.initial_state(1)) is None
    assert bound_of(Recurrent(GRU(), 32, 32, structure=Structure(residual=True)).eval()) is None
    assert bound_of(Recurrent(GRU(), 16, 33).eval()) is None
