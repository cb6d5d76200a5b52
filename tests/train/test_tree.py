"""Nested states: mapped, flattened and filled in again."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.train import detach, fill, leaves, map_tensors

Lstm = namedtuple("Lstm", ["h", "c"])
Gru = namedtuple("Gru", ["h"])


def carry(batch: int = 2):
    return (
        (Lstm(torch.randn(batch, 3), torch.randn(batch, 4)), Lstm(torch.randn(batch, 3), torch.randn(batch, 4))),
        (Gru(torch.randn(batch, 5, requires_grad=True)), None),
        (),
    )


def test_fill_undoes_leaves():
    tree, template = carry(), carry(batch=6)
    filled = fill(template, list(leaves(tree)))
    assert [leaf.shape for leaf in leaves(filled)] == [(2, 3), (2, 4), (2, 3), (2, 4), (2, 5)]
    assert all(torch.equal(a, b) for a, b in zip(leaves(filled), leaves(tree), strict=True))
    assert isinstance(filled[0][1], Lstm)
    assert filled[0][1].c is filled[0][1][1]
    assert filled[1][1] is None
    assert filled[2] == ()


def test_detach_cuts_the_graph_and_keeps_the_numbers():
    tree = carry()
    cut = detach(tree)
    assert not any(leaf.requires_grad for leaf in leaves(cut))
    assert torch.equal(cut[1][0].h, tree[1][0].h)
    assert detach(None) is None


@pytest.mark.parametrize("values", [[], [torch.rand(2, 5), torch.rand(2, 5)], [torch.rand(2, 7)]])
def test_states_of_another_network_do_not_fit(values):
    with pytest.raises(ArgumentError, match=r"does not fit a network that carries \(2, 5\)"):
        fill((Gru(torch.rand(2, 5)),), values)


def test_other_containers_are_refused():
    with pytest.raises(ArgumentError, match="a list is part of the carried state"):
        map_tensors(torch.neg, ([torch.rand(2)],))
