from __future__ import annotations

import pytest
import torch

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import Captures, Pooling, Recurrent
from unrolled.models import Embedding, SequenceNetwork

WORDS, FEATURES, HIDDEN, OUTPUTS = 9, 3, 4, 2
LENGTHS = torch.tensor([6, 1, 0, 3])


def build(
    kind: str = "mean", *, text: bool = True, dropout: float = 0.0, bidirectional: bool = True
) -> SequenceNetwork:
    torch.manual_seed(2)
    recurrent = Recurrent(cells.GRU(), FEATURES, HIDDEN, bidirectional=bidirectional)
    pooling = Pooling(kind, recurrent.output_size, bidirectional=bidirectional)
    embed = Embedding(WORDS, FEATURES) if text else None
    return SequenceNetwork(embed, recurrent, pooling, OUTPUTS, dropout).double()


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("text", [False, True])
def test_a_row_has_the_answer_it_has_alone(kind: str, text: bool) -> None:
    network = build(kind, text=text)
    x = torch.randint(WORDS, (4, 6)) if text else torch.randn(4, 6, FEATURES, dtype=torch.float64)
    answers = network(x, LENGTHS)
    assert answers.shape == (4, OUTPUTS)
    for row, length in enumerate(LENGTHS.tolist()):
        close(answers[row], network(x[row : row + 1, :length])[0])
    close(network.output(network.encode(x, LENGTHS)), answers)
    assert network.encode(x, LENGTHS).shape == (4, 2 * HIDDEN)


def test_attention_of_the_answer() -> None:
    x = torch.randint(WORDS, (4, 6))
    network = build("attention")
    weights = network.attention(x, LENGTHS)
    close(torch.einsum("bt,bte->be", weights, network.read(x, LENGTHS)), network.encode(x, LENGTHS))


def test_states_can_be_captured() -> None:
    network, captures = build(bidirectional=False), Captures("h")
    x = torch.randint(WORDS, (4, 6))
    network.encode(x, LENGTHS, capture=captures)
    close(captures["h"][0][0], network.read(x, LENGTHS))


def test_dropout_acts_in_training_only() -> None:
    network, x = build(dropout=0.5), torch.randint(WORDS, (4, 6))
    assert not torch.equal(network(x), network(x))
    network.eval()
    close(network(x), build()(x))


def test_every_parameter_learns() -> None:
    network, x = build("attention"), torch.randint(WORDS, (4, 6))
    network(x, LENGTHS).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_errors_name_the_fault() -> None:
    with pytest.raises(ArgumentError, match="the pooling takes 3 features, but the recurrent layer puts out 4"):
        SequenceNetwork(None, Recurrent(cells.GRU(), FEATURES, HIDDEN), Pooling("mean", 3), 1)
    with pytest.raises(ArgumentError, match=r"\(4, 6, 3\), but this network reads \(B, T\) ids"):
        build()(torch.randn(4, 6, FEATURES))
    with pytest.raises(ArgumentError, match=r"\(4, 6\), but this network reads \(B, T, F\) numbers"):
        build(text=False)(torch.randint(WORDS, (4, 6)))
    with pytest.raises(ArgumentError, match="dropout is -1"):
        build(dropout=-1)
