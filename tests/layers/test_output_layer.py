from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.layers import IGNORED, AdaptiveOutput, Output

V, H = 70, 32


def build(kind: type[Output] | type[AdaptiveOutput]) -> Output | AdaptiveOutput:
    torch.manual_seed(3)
    return kind(H, V).double()


def case() -> tuple[Tensor, Tensor]:
    """Features (3, 5, H) and targets (3, 5), two of which do not count."""
    torch.manual_seed(9)
    features, targets = torch.randn(3, 5, H, dtype=torch.float64, requires_grad=True), torch.randint(V, (3, 5))
    targets[1, 3:] = IGNORED
    return features, targets


@pytest.mark.parametrize("kind", [Output, AdaptiveOutput])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("block", [2**22, 40])
def test_costs_and_gradients_are_those_of_the_logits(
    kind: type[Output] | type[AdaptiveOutput], reduction: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrolled.engine.output.BLOCK", block)
    layer, (features, targets) = build(kind), case()
    found = layer.cost(features, targets, reduction=reduction)
    wanted = functional.cross_entropy(layer(features).movedim(-1, 1), targets, reduction=reduction)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    inputs = (features, *layer.parameters())
    ours = torch.autograd.grad(found.sum(), inputs)
    torchs = torch.autograd.grad(wanted.sum(), inputs)
    torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [Output, AdaptiveOutput])
def test_one_step_has_logits_too(kind: type[Output] | type[AdaptiveOutput]) -> None:
    layer, (features, _) = build(kind), case()
    assert layer(features[:, 0]).shape == (3, V)
    torch.testing.assert_close(layer(features)[:, 0], layer(features[:, 0]))


def test_adaptive_logits_are_log_probabilities() -> None:
    layer, (features, _) = build(AdaptiveOutput), case()
    torch.testing.assert_close(layer(features).exp().sum(-1), torch.ones(3, 5, dtype=torch.float64))


def test_an_adaptive_output_is_smaller() -> None:
    full, adaptive = (sum(p.numel() for p in kind(64, 5000).parameters()) for kind in (Output, AdaptiveOutput))
    assert adaptive < full / 3


@pytest.mark.parametrize("kind", [Output, AdaptiveOutput])
def test_nothing_to_count_costs_nothing(kind: type[Output] | type[AdaptiveOutput]) -> None:
    layer, (features, targets) = build(kind), case()
    cost = layer.cost(features, torch.full_like(targets, IGNORED), reduction="sum")
    assert cost == 0
    assert not torch.autograd.grad(cost, features)[0].any()


@pytest.mark.parametrize(("features", "entries"), [(15, 100), (100, 15)])
def test_too_small_for_adaptive_softmax(features: int, entries: int) -> None:
    with pytest.raises(ArgumentError, match=f"there are {entries} entries and {features} features; choose the full"):
        AdaptiveOutput(features, entries)
