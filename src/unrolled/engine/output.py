"""Output layer of a language model: product with the vocabulary and cross-entropy in one pass over blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.engine.plan import looked_into
from unrolled.errors import ArgumentError

IGNORED = -100
# Logits that exist at once: 16 MiB in float32.
BLOCK = 2**22
REDUCTIONS = ("mean", "sum", "none")
DTYPES = (torch.float32, torch.float64)


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    reduction: str = "mean",
    ignore_index: int = IGNORED,
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(W h + b)[target] for features (..., H), W (V, H), b (V) and targets (...) int64: () or (...).

    Equal to torch's cross_entropy of linear, but only a block of the logits exists at a time: the forward pass also
    makes the gradients of a block, so the backward pass of "mean" and "sum" only scales them, and that of "none" goes
    over the blocks again. Rows whose target is `ignore_index` cost nothing, and no time. Logits that fit into one block
    are left to torch's own operations; so are second derivatives, vmap, forward mode, autocast and types other than
    float32 and float64, which hold all logits. Raises ArgumentError for shapes, targets or a reduction that do not fit.
    """
    _check(features, weight, targets, reduction)
    flat, wanted = features.reshape(-1, features.shape[-1]), targets.reshape(-1)
    parts = (features, weight) if bias is None else (features, weight, bias)
    counted = wanted != ignore_index
    every = bool(counted.all())
    kept = wanted if every else wanted[counted]
    _check_range(kept, len(weight))
    apart = features.dtype not in DTYPES or torch.is_autocast_enabled(features.device.type) or looked_into(parts)
    # One block has nothing to save, and torch's own operations were measured faster there.
    if apart or flat.shape[0] * len(weight) <= BLOCK:
        logits = functional.linear(flat, weight, bias)
        plain = functional.cross_entropy(
            logits, wanted, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing
        )
        return plain.view(targets.shape) if reduction == "none" else plain
    flat = flat if every else flat[counted]
    ask = _Ask(reduction, label_smoothing, torch.is_grad_enabled())
    found: Tensor = _LinearCrossEntropy.apply(ask, flat, weight, bias, kept)  # type: ignore[no-untyped-call]  # torch does not type it
    if reduction != "none":
        return found
    return (found if every else found.new_zeros(len(wanted)).masked_scatter(counted, found)).view(targets.shape)


def block_rows(vocabulary_size: int) -> int:
    """Rows whose logits exist at once."""
    return max(1, BLOCK // vocabulary_size)


@dataclass(frozen=True)
class _Ask:
    reduction: str
    smoothing: float
    gradients: bool


class _LinearCrossEntropy(torch.autograd.Function):
    """Features (N, H), targets (N), none of them ignored."""

    @staticmethod
    def forward(ctx: Any, ask: _Ask, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        at_once = ask.gradients and ask.reduction != "none"
        wanted = ctx.needs_input_grad[1:4] if at_once else (False, False, False)
        losses, found = _blocks(features, weight, bias, targets, ask.smoothing, None, wanted)
        ctx.ask = ask
        ctx.save_for_backward(features, weight, bias, targets, *found)
        if ask.reduction == "none":
            return losses
        return losses.mean() if ask.reduction == "mean" else losses.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias, targets, *found = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:4]
        if torch.is_grad_enabled():
            return None, *_through_torch(ctx.ask, (features, weight, bias), targets, gradient, wanted), None
        if ctx.ask.reduction == "none":
            found = _blocks(features, weight, bias, targets, ctx.ask.smoothing, gradient[:, None], wanted)[1]
        else:
            rate = gradient / len(targets) if ctx.ask.reduction == "mean" else gradient
            found = [None if f is None else f * rate for f in found]
        return None, *found, None


def _blocks(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float,
    rates: Tensor | None,
    wanted: tuple[bool, ...],
) -> tuple[Tensor, list[Tensor | None]]:
    """Losses (N,) and the gradients of sum(rates * losses), rates (N, 1), by features, weight and bias."""
    rows, vocabulary = len(features), len(weight)
    losses = features.new_empty(rows)
    make = torch.empty_like if rows else torch.zeros_like
    d_features, d_weight, d_bias = found = [
        make(part) if want and part is not None else None
        for part, want in zip((features, weight, bias), wanted, strict=True)
    ]
    size = max(1, min(block_rows(vocabulary), rows))
    room = features.new_empty(size, vocabulary)
    for start in range(0, rows, size):
        block = slice(start, min(start + size, rows))
        h, target = features[block], targets[block, None]
        # torch's product, not the kernels' tile: on blocks of a vocabulary it was measured as fast or faster.
        logs = torch.mm(h, weight.mT, out=room[: len(h)])
        if bias is not None:
            logs += bias
        torch.log_softmax(logs, 1, out=logs)
        losses[block] = logs.gather(1, target)[:, 0] * (smoothing - 1)
        if smoothing:
            losses[block] -= logs.mean(1) * smoothing
        if not any(wanted):
            continue
        # d loss / d logits = p - (1 - smoothing) [target] - smoothing / V, in the place of the logits
        errors = logs.exp_()
        if smoothing:
            errors -= smoothing / vocabulary
        errors.scatter_add_(1, target, errors.new_full((), smoothing - 1).expand_as(target))
        if rates is not None:
            errors *= rates[block]
        if d_features is not None:
            torch.mm(errors, weight, out=d_features[block])
        if d_weight is not None:
            torch.addmm(d_weight, errors.mT, h, beta=int(start > 0), out=d_weight)
        if d_bias is not None:
            d_bias.copy_(d_bias + errors.sum(0) if start else errors.sum(0))
    return losses, found


def _through_torch(
    ask: _Ask, parts: tuple[Tensor, Tensor, Tensor | None], targets: Tensor, gradient: Tensor, wanted: tuple[bool, ...]
) -> list[Tensor | None]:
    """The first derivative as a graph of its own, so that it can be differentiated again."""
    with torch.enable_grad():
        loss = functional.cross_entropy(
            functional.linear(*parts), targets, reduction=ask.reduction, label_smoothing=ask.smoothing
        )
    needed = [part for part, want in zip(parts, wanted, strict=True) if want and part is not None]
    found = iter(torch.autograd.grad(loss, needed, gradient, create_graph=True))
    return [next(found) if want else None for want in wanted]


def _check(features: Tensor, weight: Tensor, targets: Tensor, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"reduction is {reduction!r}; it must be one of {', '.join(REDUCTIONS)}.")
    if features.shape[:-1] != targets.shape or features.shape[-1] != weight.shape[1]:
        raise ArgumentError(
            f"features have the shape {tuple(features.shape)} and targets {tuple(targets.shape)}, but features need "
            f"{weight.shape[1]} numbers for each target."
        )


def _check_range(targets: Tensor, size: int) -> None:
    # Looking at the values of a tensor on a GPU would make the host wait for it in every call.
    low, high = (int(targets.min()), int(targets.max())) if targets.device.type == "cpu" and len(targets) else (0, 0)
    if low < 0 or high >= size:
        raise ArgumentError(
            f"targets go from {low} to {high}, but the output layer has {size} entries; encode the data with its "
            "vocabulary."
        )
