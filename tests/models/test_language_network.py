from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import Captures, Recurrent
from unrolled.models import LanguageNetwork

WORDS, SIZE, HIDDEN = 11, 4, 6


def build(hidden: int = HIDDEN, **options: Any) -> LanguageNetwork:
    torch.manual_seed(5)
    return LanguageNetwork(WORDS, SIZE, Recurrent(cells.LSTM(), SIZE, hidden, layers=2), **options).double()


def ids(batch: int = 3, steps: int = 7) -> Tensor:
    return torch.randint(WORDS, (batch, steps), generator=torch.Generator().manual_seed(6))


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_windows_and_steps_give_what_the_whole_gives(tied: bool) -> None:
    network, x = build(tied=tied), ids()
    logits, last = network(x)
    assert logits.shape == (3, 7, WORDS)
    first, state = network(x[:, :3])
    second, state = network(x[:, 3:], state)
    close(torch.cat((first, second), 1), logits)
    close(state, last)
    state = network.initial_state(3)
    for t in range(7):
        one, state = network.step(x[:, t], state)
        close(one, logits[:, t])
    close(network.output(network.features(x)[0]), logits)


def test_it_sees_nothing_of_what_comes_next() -> None:
    network, x = build(), ids()
    other = x.clone()
    other[:, 4:] = (other[:, 4:] + 1) % WORDS
    close(network(other)[0][:, :4], network(x)[0][:, :4])
    assert not torch.equal(network(other)[0][:, 4:], network(x)[0][:, 4:])


def test_padding_changes_nothing() -> None:
    network, x = build(), ids()
    lengths = torch.tensor([7, 2, 4])
    other = x.clone()
    other[1, 2:], other[2, 4:] = 0, 0
    close(network(other, None, lengths)[1], network(x, None, lengths)[1])


@pytest.mark.parametrize("hidden", [SIZE, HIDDEN])
def test_tied_weights_are_one_parameter(hidden: int) -> None:
    network = build(hidden, tied=True)
    assert network.output.weight is network.embedding.weight
    assert (network.project is None) == (hidden == SIZE)
    twin = copy.deepcopy(network)
    assert twin.output.weight is twin.embedding.weight
    other = build(hidden, tied=True)
    other.load_state_dict(network.state_dict())
    close(other(ids())[0], network(ids())[0])
    before = network.embedding.weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.5)
    functional.cross_entropy(network(ids())[0].flatten(0, 1), ids().flatten()).backward()
    optimiser.step()
    assert not torch.equal(network.output.weight, before)


def test_it_learns_to_copy_the_period_of_a_text() -> None:
    network = build()
    text = torch.arange(40).remainder(5)[None]
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(60):
        loss = functional.cross_entropy(network(text[:, :-1])[0][0], text[0, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.7


@pytest.mark.parametrize("name", ["dropout", "embedding_dropout"])
def test_dropout_acts_in_training_only(name: str) -> None:
    network = build(**{name: 0.5})
    torch.manual_seed(1)
    first = network(ids())[0]
    torch.manual_seed(2)
    assert not torch.equal(network(ids())[0], first)
    network.eval()
    close(network(ids())[0], build()(ids())[0])


def test_dropout_stands_before_and_after_the_recurrent_layers() -> None:
    network = build(hidden=4, dropout=0.5)
    read: list[Tensor] = []
    network.recurrent.register_forward_hook(lambda _, inputs, outputs: read.extend((inputs[0], outputs[0])))
    features, _ = network.features(ids())
    for after, before in ((read[0], network.embedding(ids())), (features, read[1])):
        assert set((after / before).round(decimals=9).unique().tolist()) == {0.0, 2.0}


def test_pretrained_vectors_are_the_start() -> None:
    vectors = torch.randn(WORDS, SIZE)
    for tied in (False, True):
        network = build(vectors=vectors, tied=tied)
        close(network.embedding.weight.detach(), vectors.double())


def test_states_can_be_captured() -> None:
    network, captures = build(), Captures("c")
    _, state = network(ids(), capture=captures)
    close(captures["c"][1][0][:, -1], state[1][0].c)


class TestErrors:
    def test_widths(self) -> None:
        with pytest.raises(ArgumentError, match="the embedding has 5 features, but the recurrent layer reads 4"):
            LanguageNetwork(WORDS, 5, Recurrent(cells.GRU(), 4, 3))

    def test_directions(self) -> None:
        with pytest.raises(ArgumentError, match="may not see what comes next"):
            LanguageNetwork(WORDS, 4, Recurrent(cells.GRU(), 4, 3, bidirectional=True))

    def test_shapes(self) -> None:
        with pytest.raises(ArgumentError, match=r"ids have the shape \(7,\), but the model needs \(B, T\)"):
            build()(ids()[0])
        with pytest.raises(ArgumentError, match="needs one id a row"):
            build().step(ids())

    def test_ids(self) -> None:
        with pytest.raises(ArgumentError, match="ids go from 0 to 11, but the vocabulary has 11 entries"):
            build()(torch.tensor([[0, WORDS]]))
        with pytest.raises(ArgumentError, match="ids go from -1 to 1"):
            build()(torch.tensor([[1, -1]]))
        with pytest.raises(ArgumentError, match=r"ids of type torch\.float32"):
            build()(ids().float())

    def test_rates(self) -> None:
        with pytest.raises(ArgumentError, match=r"dropout is 1\.0"):
            build(dropout=1.0)


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"adaptive": True}])
def test_the_loss_is_the_cross_entropy_of_the_logits(options: dict[str, Any]) -> None:
    torch.manual_seed(5)
    network = LanguageNetwork(40, 16, Recurrent(cells.GRU(), 16, 20), **options).double()
    x, targets, lengths = ids(), ids().flip(0), torch.tensor([7, 0, 4])
    targets[0, 2] = -100
    found, state = network.loss(x, targets, None, lengths)
    logits, after = network(x, None, lengths)
    close(state, after)
    counted = (torch.arange(7) < lengths[:, None]) & (targets != -100)
    wanted = functional.cross_entropy(logits[counted], targets[counted])
    close(found, wanted)
    weights = list(network.parameters())
    close(torch.autograd.grad(found, weights), torch.autograd.grad(wanted, weights))
    each, _ = network.loss(x, targets, None, lengths.tolist(), reduction="none")
    assert each.shape == (3, 7)
    assert not each[~counted].any()
    close(each.sum() / counted.sum(), wanted)


def test_an_adaptive_output_cannot_be_tied() -> None:
    with pytest.raises(ArgumentError, match="leave tied or adaptive out"):
        build(tied=True, adaptive=True)
