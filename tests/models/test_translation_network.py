from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import IGNORED, Recurrent
from unrolled.models import Embedding, TranslationNetwork
from unrolled.models.translation import take_rows

B, S, T, V, E, H = 3, 5, 4, 11, 6, 8
LENGTHS = torch.tensor([5, 2, 3])


def make(
    cell: str = "lstm", *, feeding: bool = False, layers: int = 1, bidirectional: bool = True, **rest: Any
) -> TranslationNetwork:
    torch.manual_seed(3)
    width = E if rest.get("tied", True) else H
    half = H // 2 if bidirectional else H
    encoder = Recurrent(cells.by_name(cell), E, half, layers=layers, bidirectional=bidirectional)
    decoder = Recurrent(cells.by_name(cell), E + width * feeding, H, layers=layers)
    network = TranslationNetwork(Embedding(V, E), encoder, Embedding(V, E), decoder, input_feeding=feeding, **rest)
    return network.double().eval()


def data() -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    torch.manual_seed(4)
    inputs, targets = torch.randint(V, (B, T)), torch.randint(V, (B, T))
    targets[1, 2:] = IGNORED
    return (torch.randint(V, (B, S)), LENGTHS), inputs, targets


def stepwise_loss(network: TranslationNetwork) -> Tensor:
    """The loss put together from single steps."""
    source, inputs, targets = data()
    memory, writing = network.encode(*source)
    costs = []
    for t in range(T):
        logs, _, writing = network.step(inputs[:, t], memory, writing)
        costs += [-logs[b, targets[b, t]] for b in range(B) if targets[b, t] != IGNORED]
    return torch.stack(costs).mean()


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_loss_is_that_of_the_steps(cell: str, feeding: bool, layers: int) -> None:
    network = make(cell, feeding=feeding, layers=layers)
    source, inputs, targets = data()
    torch.testing.assert_close(network.loss(source, inputs, targets), stepwise_loss(network))


@pytest.mark.parametrize("rest", [{"tied": False}, {"attention": "additive"}, {"bidirectional": False}])
@pytest.mark.parametrize("feeding", [False, True])
def test_variants_agree_with_their_steps(rest: dict[str, Any], feeding: bool) -> None:
    network = make(feeding=feeding, **rest)
    source, inputs, targets = data()
    torch.testing.assert_close(network.loss(source, inputs, targets), stepwise_loss(network))


@pytest.mark.parametrize("feeding", [False, True])
def test_padding_of_the_source_changes_nothing(feeding: bool) -> None:
    network = make(feeding=feeding)
    (ids, lengths), inputs, targets = data()
    found = []
    for seed in (1, 2):
        filled = ids.clone()
        for b in range(B):
            filled[b, lengths[b] :] = torch.randint(
                V, (S - int(lengths[b]),), generator=torch.Generator().manual_seed(seed)
            )
        network.zero_grad()
        loss = network.loss((filled, lengths), inputs, targets)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in network.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_the_decoder_starts_from_both_directions_side_by_side() -> None:
    network = make(layers=2)
    (ids, lengths), _, _ = data()
    _, writing = network.encode(ids, lengths)
    _, state = network.encoder(network.source(ids), lengths=lengths)
    for layer in range(2):
        for name in ("h", "c"):
            both = torch.cat([getattr(state[layer][direction], name) for direction in range(2)], 1)
            assert torch.equal(getattr(writing.state[layer][0], name), both)


def test_weights_show_where_a_step_looked() -> None:
    network = make()
    (ids, lengths), inputs, _ = data()
    memory, writing = network.encode(ids, lengths)
    logs, weights, _ = network.step(inputs[:, 0], memory, writing)
    torch.testing.assert_close(weights.sum(1), torch.ones(B).double())
    assert (weights[1, 2:] == 0).all()
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(B).double())


@pytest.mark.parametrize("feeding", [False, True])
def test_rows_can_be_taken_again_and_in_another_order(feeding: bool) -> None:
    network = make(feeding=feeding)
    (ids, lengths), inputs, _ = data()
    memory, writing = network.encode(ids, lengths)
    _, _, writing = network.step(inputs[:, 0], memory, writing)
    rows = torch.tensor([2, 2, 0])
    whole = network.step(inputs[:, 1], memory, writing)[0]
    part = network.step(inputs[rows, 1], memory.take(rows), take_rows(writing, rows))[0]
    torch.testing.assert_close(part, whole[rows])


def test_scheduled_sampling_reads_what_the_network_says() -> None:
    network = make()
    source, inputs, targets = data()
    memory, writing = network.encode(*source)
    ids, costs = inputs[:, 0], []
    for t in range(T):
        logs, _, writing = network.step(ids, memory, writing)
        costs += [-logs[b, targets[b, t]] for b in range(B) if targets[b, t] != IGNORED]
        ids = logs.argmax(1)
    torch.testing.assert_close(network.loss(source, inputs, targets, sampling=1.0), torch.stack(costs).mean())
    plain = network.loss(source, inputs, targets)
    torch.testing.assert_close(network.loss(source, inputs, targets, sampling=1e-12), plain)
    assert not torch.isclose(network.loss(source, inputs, targets, sampling=1.0), plain)


def test_label_smoothing_takes_from_the_right_token() -> None:
    network = make()
    source, inputs, targets = data()
    plain = network.loss(source, inputs, targets, label_smoothing=0.0)
    memory, writing = network.encode(*source)
    means = []
    for t in range(T):
        logs, _, writing = network.step(inputs[:, t], memory, writing)
        means += [-logs[b].mean() for b in range(B) if targets[b, t] != IGNORED]
    wanted = 0.9 * plain + 0.1 * torch.stack(means).mean()
    torch.testing.assert_close(network.loss(source, inputs, targets, label_smoothing=0.1), wanted)


def test_dropout_only_while_training() -> None:
    network = make(dropout=0.5)
    source, inputs, targets = data()
    assert network.loss(source, inputs, targets) == network.loss(source, inputs, targets)
    network.train()
    assert network.loss(source, inputs, targets) != network.loss(source, inputs, targets)


def test_one_embedding_for_both_languages_is_one_parameter() -> None:
    embed = Embedding(V, E)
    encoder, decoder = Recurrent(cells.GRU(), E, H // 2, bidirectional=True), Recurrent(cells.GRU(), E, H)
    network = TranslationNetwork(embed, encoder, embed, decoder)
    assert network.output.weight is network.source.weight is network.target.weight
    assert [name for name, _ in network.named_parameters() if "weight" in name].count("source.weight") == 1


def test_errors() -> None:
    embed, encoder = Embedding(V, E), Recurrent(cells.GRU(), E, H // 2, bidirectional=True)
    with pytest.raises(
        ArgumentError, match="the encoder reads 6 features and the decoder 6, but they are given 6 and 12"
    ):
        TranslationNetwork(embed, encoder, embed, Recurrent(cells.GRU(), E, H), input_feeding=True)
    with pytest.raises(ArgumentError, match=r"cannot start from the states .* hidden_size=\[8\]"):
        TranslationNetwork(embed, encoder, embed, Recurrent(cells.GRU(), E, H // 2))


@pytest.mark.parametrize("joint", [False, True])
def test_inputs_start_with_size_one_and_scores_near_zero(joint: bool) -> None:
    torch.manual_seed(7)
    source = Embedding(200, 64)
    target = source if joint else Embedding(200, 64)
    encoder, decoder = Recurrent(cells.LSTM(), 64, 32, bidirectional=True), Recurrent(cells.LSTM(), 64, 64)
    network = TranslationNetwork(source, encoder, target, decoder)
    ids = torch.arange(200)[None]
    for embedding in (source, target):
        assert network._read(embedding, ids).std().item() == pytest.approx(1, rel=0.1)
    memory, writing = network.encode(ids, torch.tensor([200]))
    logs, _, _ = network.step(ids[0, :1], memory, writing)
    assert logs.exp().max() < 0.05
