"""A network that reads a sequence and gives one answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.layers import Captures, Pooling, Recurrent
from unrolled.layers.lengths import as_lengths
from unrolled.layers.regularisation import check_rate
from unrolled.models.embedding import Embedding
from unrolled.models.front import Convolutions


class SequenceNetwork(nn.Module):
    """Embedding -> convolutions -> recurrent layers -> pooling -> outputs: (B, T) or (B, T, F) -> (B, outputs).

    `embed` maps ids to features, as `Embedding` does; None reads numbers. `front`, if any, is between them and the
    recurrent layers, and may make fewer steps. `dropout` acts on the pooled vector.
    Raises ArgumentError where the widths of the parts or the shape of an input do not fit.
    """

    def __init__(
        self,
        embed: nn.Module | None,
        recurrent: Recurrent,
        pooling: Pooling,
        outputs: int,
        dropout: float = 0.0,
        *,
        front: Convolutions | None = None,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        if pooling.size != recurrent.output_size:
            raise ArgumentError(
                f"the pooling takes {pooling.size} features, but the recurrent layer puts out {recurrent.output_size}; "
                "build it as Pooling(kind, recurrent.output_size)."
            )
        if front is not None and front.output_size != recurrent.input_size:
            raise ArgumentError(
                f"the convolutions put out {front.output_size} features, but the recurrent layer takes "
                f"{recurrent.input_size}; make them equal."
            )
        self.embed = embed
        self.front = front
        self.recurrent = recurrent
        self.pooling = pooling
        self.dropout = dropout
        self.output = nn.Linear(pooling.size, outputs)

    def forward(self, x: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        vector = functional.dropout(self.encode(x, lengths), self.dropout, self.training)
        return functional.linear(vector, self.output.weight, self.output.bias)

    def encode(
        self, x: Tensor, lengths: Tensor | Sequence[int] | None = None, *, capture: Captures | None = None
    ) -> Tensor:
        """The vector that stands for a whole sequence: (B, E)."""
        outputs, lengths = self._read(x, lengths, capture)
        pooled: Tensor = self.pooling(outputs, lengths)
        return pooled

    def attention(self, x: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """How much each step counts for the answer, (B, T); ArgumentError unless the pooling is `attention`."""
        return self.pooling.attention(*self._read(x, lengths, None))

    def read(
        self, x: Tensor, lengths: Tensor | Sequence[int] | None = None, *, capture: Captures | None = None
    ) -> Tensor:
        """Outputs of the recurrent layers at every step, (B, T, E)."""
        return self._read(x, lengths, capture)[0]

    def _read(
        self, x: Tensor, lengths: Tensor | Sequence[int] | None, capture: Captures | None
    ) -> tuple[Tensor, Tensor | Sequence[int] | None]:
        wanted = "(B, T, F) numbers" if self.embed is None else "(B, T) ids"
        if x.dim() != (3 if self.embed is None else 2):
            raise ArgumentError(f"x has the shape {tuple(x.shape)}, but this network reads {wanted}.")
        if isinstance(self.embed, Embedding) and self.front is None:
            outputs: Tensor = self.recurrent(self.embed.rows(x), lengths=lengths, capture=capture)[0]
            return outputs, lengths
        features = x if self.embed is None else self.embed(x)
        if self.front is not None:
            features, lengths = self.front(features, as_lengths(lengths, x.shape[0], x.shape[1], x.device))
        outputs = self.recurrent(features, lengths=lengths, capture=capture)[0]
        return outputs, lengths

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}" if self.dropout else ""
