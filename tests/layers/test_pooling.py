from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.layers import Pooling, Recurrent

KINDS = ["last", "mean", "max", "attention"]
LENGTHS = torch.tensor([5, 1, 0, 3])


def outputs() -> Tensor:
    torch.manual_seed(3)
    return torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)


def pooling(kind: str, **options: bool) -> Pooling:
    torch.manual_seed(4)
    return Pooling(kind, 6, **options).double()


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_pooled_over_its_true_steps(kind: str) -> None:
    x, pool = outputs(), pooling(kind)
    pooled = pool(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        own = x[row, :length]
        wanted = torch.zeros(6, dtype=torch.float64)
        if length and kind == "attention":
            scores = torch.tanh(own @ pool.hidden.weight.T + pool.hidden.bias) @ pool.score
            wanted = scores.softmax(0) @ own
        elif length:
            wanted = {"last": own[-1], "mean": own.mean(0), "max": own.amax(0)}[kind]
        torch.testing.assert_close(pooled[row], wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_neither_value_nor_gradient(kind: str) -> None:
    pool, x = pooling(kind), outputs()
    weights = torch.randn(4, 6, dtype=torch.float64)
    found = []
    for filling in (0.0, 7.0, float("nan")):
        other = x.detach().clone()
        for row, length in enumerate(LENGTHS.tolist()):
            other[row, length:] = filling
        other.requires_grad_()
        pooled = pool(other, LENGTHS)
        found.append((pooled, *torch.autograd.grad((pooled * weights).sum(), [other, *pool.parameters()])))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


@pytest.mark.parametrize("kind", KINDS)
def test_no_lengths_means_full_rows(kind: str) -> None:
    x, pool = outputs(), pooling(kind)
    torch.testing.assert_close(pool(x), pool(x, [5, 5, 5, 5]))


@pytest.mark.parametrize("kind", KINDS)
def test_no_steps_give_zeros(kind: str) -> None:
    assert torch.equal(pooling(kind)(outputs()[:, :0]), torch.zeros(4, 6, dtype=torch.float64))


def test_the_last_of_two_directions_is_where_each_ends() -> None:
    layer = Recurrent(cells.GRU(), 3, 3, bidirectional=True).double()
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    lengths = LENGTHS.clamp(min=1)
    ys, state = layer(x, lengths=lengths)
    pooled = pooling("last", bidirectional=True)(ys, lengths)
    torch.testing.assert_close(pooled, torch.cat([state[0][0].h, state[0][1].h], 1))


def test_attention_can_be_looked_at() -> None:
    x, pool = outputs(), pooling("attention")
    weights = pool.attention(x, LENGTHS)
    torch.testing.assert_close(weights.sum(1), (LENGTHS > 0).double())
    assert ((weights > 0) == (torch.arange(5) < LENGTHS[:, None])).all()
    torch.testing.assert_close(torch.einsum("bt,btf->bf", weights, x), pool(x, LENGTHS))


def test_gradients_are_right() -> None:
    for kind in KINDS:
        assert torch.autograd.gradcheck(lambda x, kind=kind: pooling(kind)(x, LENGTHS), outputs())


def test_an_empty_row_makes_no_nan_on_the_way_back() -> None:
    with torch.autograd.set_detect_anomaly(True):
        pooling("attention")(outputs(), LENGTHS).sum().backward()


def test_errors_name_the_fault() -> None:
    with pytest.raises(ArgumentError, match="pooling 'sum' is not known; choose one of last, mean, max, attention"):
        Pooling("sum", 3)
    with pytest.raises(ArgumentError, match="an even number of features, but size is 5"):
        Pooling("last", 5, bidirectional=True)
    with pytest.raises(ArgumentError, match=r"given \(4, 5, 6\), but it needs outputs of \(B, T, 7\)"):
        Pooling("mean", 7)(outputs())
    with pytest.raises(ArgumentError, match="'mean' has no weights to show"):
        pooling("mean").attention(outputs())
    with pytest.raises(ArgumentError, match="give numbers from 0 to 5"):
        pooling("mean")(outputs(), [6, 1, 1, 1])
