from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from unrolled.engine import linear_cross_entropy, output
from unrolled.errors import ArgumentError

V, H, ROWS = 37, 9, (4, 6)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows a block, so that 24 rows are four blocks and a rest."""
    monkeypatch.setattr(output, "BLOCK", 5 * V + 3)


def case(dtype: torch.dtype = torch.float64, bias: bool = True, ignored: bool = True) -> list[Any]:
    """Features, weight, bias, targets."""
    torch.manual_seed(4)
    targets = torch.randint(V, ROWS)
    if ignored:
        targets[0, 1], targets[3, 2:] = -100, -100
    shapes = [(*ROWS, H), (V, H), (V,)]
    features, weight, b = (torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes)
    return [features, weight, b if bias else None, targets]


def plain(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, **options: Any) -> Tensor:
    logits = functional.linear(features, weight, bias)
    return functional.cross_entropy(logits.movedim(-1, 1), targets, **options)


def gradients(loss: Tensor, given: list[Any], incoming: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, [p for p in given[:3] if p is not None], incoming, retain_graph=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.15])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ignored", [True, False])
def test_loss_and_gradients_are_torchs(reduction: str, smoothing: float, bias: bool, ignored: bool) -> None:
    given = case(bias=bias, ignored=ignored)
    found = linear_cross_entropy(*given, reduction=reduction, label_smoothing=smoothing)
    wanted = plain(*given, reduction=reduction, label_smoothing=smoothing)
    incoming = torch.randn(wanted.shape, dtype=torch.float64)
    ours = (found, *gradients(found, given, incoming), *gradients(found, given, 2 * incoming))
    torchs = (wanted, *gradients(wanted, given, incoming), *gradients(wanted, given, 2 * incoming))
    for a, b in zip(ours, torchs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_float32_is_as_near_to_float64_as_torch_is() -> None:
    given = case(torch.float32)
    exact = [p.detach().double().requires_grad_() for p in given[:3]] + given[3:]
    one = torch.ones(())
    wanted = gradients(plain(*exact), exact, one.double())
    ours = gradients(linear_cross_entropy(*given), given, one)
    torchs = gradients(plain(*given), given, one)
    for a, b, c in zip(ours, torchs, wanted, strict=True):
        assert float((a - c).abs().max()) < 5 * float((b - c).abs().max())


def test_large_logits_stay_finite() -> None:
    features, weight, bias, targets = case(torch.float32)
    given = [(features.detach() * 1e4).requires_grad_(), weight, bias, targets]
    found, wanted = linear_cross_entropy(*given), plain(*given)
    torch.testing.assert_close(found, wanted)
    assert all(g.isfinite().all() for g in gradients(found, given, torch.ones(())))


def test_only_what_is_wanted_gets_a_gradient() -> None:
    features, weight, bias, targets = case()
    for wanted in (features, weight, bias):
        given = [p if p is wanted else p.detach() for p in (features, weight, bias)]
        (found,) = torch.autograd.grad(linear_cross_entropy(*given, targets), wanted)
        torch.testing.assert_close(
            found, torch.autograd.grad(plain(*given, targets), wanted)[0], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_first_and_second_derivatives(reduction: str) -> None:
    features, weight, bias, targets = case()
    features, targets = features.detach()[:2, :4].requires_grad_(), targets[:2, :4]

    def loss(*parts: Tensor) -> Tensor:
        return linear_cross_entropy(*parts, targets, reduction=reduction, label_smoothing=0.1)

    assert torch.autograd.gradcheck(loss, (features, weight, bias), fast_mode=True)
    graph, plainly = (
        torch.autograd.grad(loss(features, weight, bias).sum(), (features, weight, bias), create_graph=kept)
        for kept in (True, False)
    )
    torch.testing.assert_close(graph, plainly, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradgradcheck(loss, (features, weight, bias), fast_mode=True)


def test_without_a_target_there_is_no_mean() -> None:
    features, weight, bias, targets = case()
    nothing = torch.full_like(targets, -100)
    assert linear_cross_entropy(features, weight, bias, nothing).isnan()
    loss = linear_cross_entropy(features, weight, bias, nothing, reduction="sum")
    assert loss == 0
    assert all(not g.any() for g in gradients(loss, [features, weight, bias], torch.ones((), dtype=torch.float64)))
    assert linear_cross_entropy(features[:, :0], weight, bias, targets[:, :0], reduction="none").shape == (4, 0)


def test_functional_transforms_and_other_types_go_through_torch() -> None:
    features, weight, bias, targets = case()
    by_transform = torch.func.grad(lambda w: linear_cross_entropy(features, w, bias, targets))(weight)
    torch.testing.assert_close(by_transform, torch.autograd.grad(plain(features, weight, bias, targets), weight)[0])
    given = [p.detach().bfloat16().requires_grad_() for p in (features, weight, bias)]
    found = linear_cross_entropy(*given, targets)
    wanted = plain(given[0].flatten(0, 1), *given[1:], targets.flatten())
    one = torch.ones((), dtype=torch.bfloat16)
    torch.testing.assert_close(gradients(found, given, one), gradients(wanted, given, one), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        given = case(torch.float32)
        assert linear_cross_entropy(*given) == plain(*given)


def peak(loss: Any) -> int:
    """Most bytes that were allocated at once in a forward and a backward pass."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        loss().backward()
    assert found.profiler is not None
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    assert events
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def test_memory_is_a_block_and_the_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, vocabulary, width = 512, 4000, 8
    block = 16 * vocabulary
    monkeypatch.setattr(output, "BLOCK", block)
    features, weight = torch.randn(rows, width, requires_grad=True), torch.randn(vocabulary, width, requires_grad=True)
    targets = torch.randint(vocabulary, (rows,))
    most = peak(lambda: linear_cross_entropy(features, weight, None, targets))
    # The gradients are there twice while they are scaled by what comes in.
    parts = 2 * (features.numel() + weight.numel())
    assert most < 4 * (block + parts) + 64 * 1024
    assert peak(lambda: plain(features, weight, None, targets)) > 4 * 2 * rows * vocabulary


def test_one_block_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    given = case()
    assert "LinearCrossEntropy" in type(linear_cross_entropy(*given).grad_fn).__name__
    monkeypatch.setattr(output, "BLOCK", 24 * V)
    assert "LinearCrossEntropy" not in type(linear_cross_entropy(*given).grad_fn).__name__
    torch.testing.assert_close(linear_cross_entropy(*given), plain(*given), rtol=1e-12, atol=1e-12)


class TestErrors:
    def test_reduction(self) -> None:
        with pytest.raises(ArgumentError, match="reduction is 'total'; it must be one of mean, sum, none"):
            linear_cross_entropy(*case(), reduction="total")

    def test_shapes(self) -> None:
        features, weight, bias, targets = case()
        with pytest.raises(ArgumentError, match=r"shape \(4, 6, 9\) and targets \(4, 5\), but features need 9 numbers"):
            linear_cross_entropy(features, weight, bias, targets[:, :5])
        with pytest.raises(ArgumentError, match="need 8 numbers for each target"):
            linear_cross_entropy(features, weight[:, :8], bias, targets)

    def test_targets(self) -> None:
        features, weight, bias, targets = case()
        targets[1, 1] = V
        with pytest.raises(ArgumentError, match=r"to 37, but the output layer has 37 entries"):
            linear_cross_entropy(features, weight, bias, targets)
