from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.layers import ATTENTIONS, Attention

B, T, S, Q, M = 4, 3, 6, 5, 7
LENGTHS = torch.tensor([6, 1, 4, 0])

kinds = pytest.mark.parametrize("kind", ATTENTIONS)


def make(kind: str, seed: int = 0) -> tuple[Attention, Tensor, Tensor]:
    torch.manual_seed(seed)
    return Attention(kind, Q, M).double(), torch.randn(B, T, Q).double(), torch.randn(B, S, M).double()


@kinds
def test_equals_the_equations(kind: str) -> None:
    attention, queries, values = make(kind)
    contexts, weights = attention(queries, attention.memory(values, LENGTHS))
    for b in range(3):
        real = values[b, : LENGTHS[b]]
        for t in range(T):
            q = queries[b, t]
            if kind == "additive":
                scores = torch.stack(
                    [attention.score @ torch.tanh(attention.query(q) + attention.key(m)) for m in real]
                )
            else:
                scores = torch.stack([q @ attention.key.weight @ m for m in real]) / Q**0.5
            a = scores.softmax(0)
            torch.testing.assert_close(weights[b, t, : LENGTHS[b]], a)
            torch.testing.assert_close(contexts[b, t], a @ real)


@kinds
def test_weights_sum_to_one_over_the_true_places_alone(kind: str) -> None:
    attention, queries, values = make(kind)
    contexts, weights = attention(queries, attention.memory(values, LENGTHS))
    assert weights.shape == (B, T, S)
    torch.testing.assert_close(weights[:3].sum(2), torch.ones(3, T).double())
    assert (weights[1, :, 1:] == 0).all()
    assert (weights[3] == 0).all() and (contexts[3] == 0).all()


@kinds
def test_padding_changes_nothing_not_even_nan(kind: str) -> None:
    attention, queries, values = make(kind)
    found = []
    for filler in (0.0, float("nan"), float("inf")):
        x = values.clone()
        for b in range(B):
            x[b, LENGTHS[b] :] = filler
        x.requires_grad_()
        contexts, weights = attention(queries, attention.memory(x, LENGTHS))
        attention.zero_grad()
        contexts.square().sum().backward()
        grads = [p.grad.clone() for p in attention.parameters()]
        assert x.grad is not None
        found.append([contexts, weights, x.grad, *grads])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


@kinds
def test_a_step_is_one_of_many(kind: str) -> None:
    attention, queries, values = make(kind)
    memory = attention.memory(values, LENGTHS)
    contexts, weights = attention(queries, memory)
    for t in range(T):
        context, weight = attention(queries[:, t], memory)
        torch.testing.assert_close(context, contexts[:, t])
        torch.testing.assert_close(weight, weights[:, t])


@kinds
def test_memory_rows_can_be_taken_again_and_in_another_order(kind: str) -> None:
    attention, queries, values = make(kind)
    memory = attention.memory(values, LENGTHS)
    rows = torch.tensor([2, 0, 2])
    contexts, weights = attention(queries[rows], memory.take(rows))
    whole = attention(queries, memory)
    torch.testing.assert_close(contexts, whole[0][rows])
    torch.testing.assert_close(weights, whole[1][rows])


@kinds
def test_gradients(kind: str) -> None:
    attention, queries, values = make(kind)
    inputs = (queries.requires_grad_(), values.requires_grad_())
    assert torch.autograd.gradcheck(lambda q, v: attention(q, attention.memory(v, LENGTHS))[0], inputs)


def test_additive_has_a_width_of_its_own() -> None:
    attention = Attention("additive", Q, M, size=9)
    contexts, _ = attention(torch.randn(B, Q), attention.memory(torch.randn(B, S, M)))
    assert contexts.shape == (B, M) and attention.score.shape == (9,)


def test_errors() -> None:
    with pytest.raises(ArgumentError, match=r"attention 'dot' is not known; choose one of additive, multiplicative\."):
        Attention("dot", Q, M)
    with pytest.raises(ArgumentError, match="size is 3, but multiplicative"):
        Attention("multiplicative", Q, M, size=3)
    attention, queries, values = make("additive")
    with pytest.raises(ArgumentError, match=r"the memory has the shape \(4, 6\)"):
        attention.memory(values[..., 0])
    memory = attention.memory(values)
    with pytest.raises(ArgumentError, match=r"queries have the shape \(3, 3, 5\), but attention over 4 rows"):
        attention(queries[:3], memory)
    with pytest.raises(ArgumentError, match="lengths go from 0 to 7"):
        attention.memory(values, [7, 0, 0, 0])


def test_scores_without_their_divisor() -> None:
    torch.manual_seed(3)
    scaled, plain = Attention("multiplicative", 9, 4), Attention("multiplicative", 9, 4, scaled=False)
    plain.load_state_dict(scaled.state_dict())
    values, queries = torch.randn(2, 5, 4), torch.randn(2, 9)
    found = plain(queries / 3, plain.memory(values))[1]
    torch.testing.assert_close(found, scaled(queries, scaled.memory(values))[1])
    assert not torch.allclose(found, plain(queries, plain.memory(values))[1])
