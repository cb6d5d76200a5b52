"""A network that answers at every step of a sequence."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from unrolled.layers import Recurrent
from unrolled.layers.regularisation import check_rate, drop
from unrolled.layers.state import State
from unrolled.models.crf import ConditionalRandomField

IGNORED = -100


class TagNetwork(nn.Module):
    """Encoder, if any -> recurrent layers -> scores of K labels at every step, (B, T, K).

    `encoder` makes features (B, T, F) of a batch's inputs; None reads numbers. With `crf` the scores are a conditional
    random field's emissions, without it each step has its own softmax. `dropout` acts on what the layers put out.
    """

    def __init__(
        self, encoder: nn.Module | None, recurrent: Recurrent, labels: int, *, dropout: float = 0.0, crf: bool = False
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        self.encoder = encoder
        self.recurrent = recurrent
        self.dropout = dropout
        self.output = nn.Linear(recurrent.output_size, labels)
        self.crf = ConditionalRandomField(labels) if crf else None

    def forward(self, inputs: Any, lengths: Tensor) -> Tensor:
        return self.read(self.encode(inputs), lengths)

    def encode(self, inputs: Any) -> Tensor:
        """Features (B, T, F) of the steps."""
        features: Tensor = inputs if self.encoder is None else self.encoder(inputs)
        return features

    def read(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Scores (B, T, K) from features (B, T, F)."""
        outputs, _ = self.recurrent(features, lengths=lengths)
        scores: Tensor = self.output(drop(outputs, self.dropout, training=self.training))
        return scores

    def step(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """One step: features (B, F) -> scores (B, K), state. Raises ArgumentError if the layers are bidirectional."""
        outputs, state = self.recurrent.step(features, state)
        return self.output(outputs), state

    def loss(self, scores: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """-log p(labels | inputs) a step, `labels` (B, T); a step labelled -100 counts for nothing.

        The random field leaves out a whole sequence that has such a step.
        """
        if self.crf is None:
            # Summed by hand, because the mean over no step at all would be NaN.
            cost = functional.cross_entropy(
                scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
            )
            return cost / (labels != IGNORED).sum().clamp(min=1)
        inside = self.crf._inside(scores, lengths)
        whole = ~((labels == IGNORED) & inside).any(1)
        likelihood = self.crf.log_likelihood(scores, labels.clamp(min=0), lengths)
        return -(likelihood * whole).sum() / (lengths * whole).sum().clamp(min=1)

    def decide(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest label (B, T) at every step, with a random field of the likeliest sequence of labels."""
        return scores.argmax(2) if self.crf is None else self.crf.decode(scores, lengths)

    def probabilities(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """p(label at step t | inputs), (B, T, K)."""
        return scores.softmax(2) if self.crf is None else self.crf.marginals(scores, lengths)
