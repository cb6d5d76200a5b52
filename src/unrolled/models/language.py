"""A network that reads a sequence and says at every step what comes next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import IGNORED, AdaptiveOutput, Captures, Output, Recurrent
from unrolled.layers.regularisation import check_rate, drop
from unrolled.layers.state import State
from unrolled.models.embedding import Embedding


class LanguageNetwork(nn.Module):
    """Embedding -> recurrent layers -> scores of what comes next: ids (B, T) int64 -> logits (B, T, V), state.

    - `tied`: the output matrix is the embedding (Press and Wolf 2017); where the last layer is not E wide, a product
      without bias stands between.
    - `dropout`: of single features after the embedding and before the output matrix.
    - `embedding_dropout`: of whole words (see `Embedding`).
    - `adaptive`: rare words are scored in small spaces (see `AdaptiveOutput`); the logits are then log-probabilities.

    Raises ArgumentError if the recurrent layers do not read E features, if they are bidirectional, or for an adaptive
    output that is tied or too small.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        recurrent: Recurrent,
        *,
        tied: bool = False,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        vectors: Tensor | None = None,
        adaptive: bool = False,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        if recurrent.input_size != embedding_size:
            raise ArgumentError(
                f"the embedding has {embedding_size} features, but the recurrent layer reads {recurrent.input_size}; "
                f"build it with input_size={embedding_size}."
            )
        if recurrent.bidirectional:
            raise ArgumentError(
                "a language model may not see what comes next; build the recurrent layer with bidirectional=False."
            )
        if tied and adaptive:
            raise ArgumentError("an adaptive output has its own matrices for rare words; leave tied or adaptive out.")
        self.embedding = Embedding(vocabulary_size, embedding_size, vectors=vectors, dropout=embedding_dropout)
        self.recurrent = recurrent
        self.tied = tied
        self.dropout = dropout
        width = recurrent.output_size
        self.project = nn.Linear(width, embedding_size, bias=False) if tied and width != embedding_size else None
        self.output: Output | AdaptiveOutput
        if adaptive:
            self.output = AdaptiveOutput(width, vocabulary_size)
            return
        self.output = Output(embedding_size if tied else width, vocabulary_size)
        if tied:
            if vectors is None:
                # Entries of size 1 suit an input but would make the first scores far too sure (Merity et al. 2018).
                nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
            self.output.weight = self.embedding.weight

    @property
    def vocabulary_size(self) -> int:
        return len(self.embedding.weight)

    def initial_state(self, batch: int) -> State:
        """The state before the first symbol."""
        return self.recurrent.initial_state(batch)

    def forward(
        self,
        ids: Tensor,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        capture: Captures | None = None,
    ) -> tuple[Tensor, State]:
        features, state = self.features(ids, state, lengths, capture=capture)
        return self.output(features), state

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        reduction: str = "mean",
        carried_after: int | None = None,
    ) -> tuple[Tensor, State]:
        """Cross-entropy in nats of targets (B, T) given ids (B, T), and the state; never holds all logits.

        What lies past a row's length and targets of -100 do not count. `reduction` is "mean", "sum" or "none", which
        gives (B, T). The state is that after `carried_after` steps, by default after all.
        """
        if carried_after is None or carried_after >= ids.shape[1]:
            features, state = self.features(ids, state, lengths)
        else:
            ends = None if lengths is None else torch.as_tensor(lengths, device=ids.device)
            first, state = self.features(
                ids[:, :carried_after], state, None if ends is None else ends.clamp(max=carried_after)
            )
            rest, _ = self.features(
                ids[:, carried_after:], state, None if ends is None else (ends - carried_after).clamp(min=0)
            )
            features = torch.cat((first, rest), 1)
        if lengths is not None:
            steps = torch.arange(targets.shape[1], device=targets.device)
            past = steps >= torch.as_tensor(lengths, device=targets.device)[:, None]
            targets = targets.masked_fill(past, IGNORED)
        return self.output.cost(features, targets, reduction=reduction), state

    def features(
        self,
        ids: Tensor,
        state: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        capture: Captures | None = None,
    ) -> tuple[Tensor, State]:
        """What the output matrix reads, (B, T, E or O), and the state; `output` makes logits of it."""
        if ids.dim() != 2:
            raise ArgumentError(
                f"ids have the shape {tuple(ids.shape)}, but the model needs (B, T); add a batch with ids[None]."
            )
        drops = self.training and self.dropout
        embedded = self._drop(self.embedding(ids)) if drops else self.embedding.rows(ids)
        outputs, state = self.recurrent(embedded, state, lengths=lengths, capture=capture)
        return self._last(outputs), state

    def step(self, ids: Tensor, state: State | None = None, *, capture: Captures | None = None) -> tuple[Tensor, State]:
        """One symbol a row: ids (B,) -> logits (B, V), state."""
        if ids.dim() != 1:
            raise ArgumentError(f"step was given ids of shape {tuple(ids.shape)}, but it needs one id a row, (B,).")
        embedded = self._drop(self.embedding(ids))
        outputs, state = self.recurrent.step(embedded, state, capture=capture)
        return self.output(self._last(outputs)), state

    def _last(self, outputs: Tensor) -> Tensor:
        outputs = self._drop(outputs)
        return outputs if self.project is None else self.project(outputs)

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, training=self.training)

    def extra_repr(self) -> str:
        said = ["tied"] if self.tied else []
        return ", ".join([*said, f"dropout={self.dropout}"] if self.dropout else said)
