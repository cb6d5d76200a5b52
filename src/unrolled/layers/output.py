"""Output layers of language models: scores of every entry of a vocabulary, and the cost of the right ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unrolled.engine import IGNORED, block_rows, linear_cross_entropy
from unrolled.errors import ArgumentError

__all__ = ["IGNORED", "AdaptiveOutput", "Output"]


class Output(nn.Linear):
    """logits = W h + b: (..., H) -> (..., V). `cost` never holds all of them."""

    def cost(
        self, features: Tensor, targets: Tensor, *, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> Tensor:
        """Cross-entropy in nats of targets (...) int64 given features (..., H); those that are -100 do not count.

        `reduction` is "mean", "sum" or "none", which gives (...) with zeros where nothing counts.
        """
        return linear_cross_entropy(
            features, self.weight, self.bias, targets, reduction=reduction, label_smoothing=label_smoothing
        )

    def working_size(self, rows: int) -> int:
        """Numbers that `cost` and its gradients hold at most beside the weights and their gradients."""
        return 3 * min(rows, block_rows(self.out_features)) * self.out_features + self.weight.numel()


class AdaptiveOutput(nn.Module):
    """Adaptive softmax (Grave et al. 2017): rare entries are scored in small spaces, and only where they are needed.

    Entries must be in order of frequency, the most frequent first. The first 1/16 of them and two clusters, up to 1/4
    and the rest, make the head; the clusters are reached through H/4 and H/16 features. Maps (..., H) to
    log-probabilities (..., V), which are logits too.

    Raises ArgumentError for fewer than 16 entries or features.
    """

    def __init__(self, features: int, vocabulary_size: int) -> None:
        super().__init__()
        if min(features, vocabulary_size) < 16:
            raise ArgumentError(
                f"adaptive softmax needs 16 entries and 16 features or more, and there are {vocabulary_size} entries "
                f"and {features} features; choose the full softmax."
            )
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(
            features, vocabulary_size, [vocabulary_size // 16, vocabulary_size // 4], head_bias=True
        )

    def forward(self, features: Tensor) -> Tensor:
        flat = features.reshape(-1, features.shape[-1])
        return self.clusters.log_prob(flat).view(*features.shape[:-1], self.clusters.n_classes)

    def cost(self, features: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
        """-log p(target); see `Output.cost`."""
        counted = targets != IGNORED
        rows = block_rows(self.clusters.head_size)
        blocks = zip(torch.split(features[counted], rows), torch.split(targets[counted], rows), strict=True)
        costs = torch.cat([-self.clusters(h, target).output for h, target in blocks])
        if reduction == "none":
            return features.new_zeros(targets.shape).masked_scatter(counted, costs)
        return costs.mean() if reduction == "mean" else costs.sum()

    def working_size(self, rows: int) -> int:
        """Numbers that `cost` and its gradients hold at most beside the weights and their gradients."""
        return 3 * rows * self.clusters.head_size
