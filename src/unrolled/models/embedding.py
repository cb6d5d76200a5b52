"""Vectors for the ids of characters, words or other symbols."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.layers import Tokens
from unrolled.layers.regularisation import check_rate

UNKNOWN = 1


class Embedding(nn.Module):
    """A vector (E) for each id: ids (B, T) int64 -> (B, T, E).

    - `vectors` (V, E): start from these, for instance pretrained ones; `trainable=False` keeps them as they are.
    - `dropout`: while training, the vectors of whole words are zero throughout a batch (Gal and Ghahramani 2016).
    - `word_dropout`: while training, single tokens are read as the unknown word, so that its vector is learned too
      (in the manner of Iyyer et al. 2015).
    - `positions`: add a vector for each of so many places, the last one for all places after it (Gehring et al. 2017).

    Raises ArgumentError for sizes below 1 and for ids that are not whole numbers from 0 to V - 1.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        *,
        vectors: Tensor | None = None,
        trainable: bool = True,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        positions: int | None = None,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        check_rate("word_dropout", word_dropout)
        if min(vocabulary_size, embedding_size, 1 if positions is None else positions) < 1:
            places = "" if positions is None else f" with {positions} positions"
            raise ArgumentError(
                f"the embedding is {vocabulary_size} x {embedding_size}{places}, but all need at least 1."
            )
        shape = (vocabulary_size, embedding_size)
        if vectors is not None and tuple(vectors.shape) != shape:
            raise ArgumentError(f"vectors have the shape {tuple(vectors.shape)}, but the embedding needs {shape}.")
        start = torch.randn(shape) if vectors is None else vectors.detach().to(torch.get_default_dtype(), copy=True)
        self.weight = nn.Parameter(start, requires_grad=trainable)
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.positions = None
        if positions is not None:
            self.positions = nn.Parameter(start.std() * torch.randn(positions, embedding_size))

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Vectors of ids (B, T), of which so many came before in their sequence."""
        found = self._tokens(ids).dense()
        if self.positions is None:
            return found
        places = torch.arange(start, start + ids.shape[1], device=ids.device).clamp(max=len(self.positions) - 1)
        return found + self.positions[places]

    def rows(self, ids: Tensor) -> Tensor | Tokens:
        """`forward`, not yet looked up where that is all it does: a recurrent layer may read the rows faster so."""
        # who has put a hook on this module wants to see what it returns
        return self(ids) if self.positions is not None or self._forward_hooks else self._tokens(ids)

    def _tokens(self, ids: Tensor) -> Tokens:
        check_ids(ids, len(self.weight))
        weight: Tensor = self.weight
        if self.training and self.word_dropout:
            ids = ids.masked_fill(torch.rand(ids.shape, device=ids.device) < self.word_dropout, UNKNOWN)
        if self.training and self.dropout:
            weight = weight * functional.dropout(weight.new_ones(len(weight), 1), self.dropout)
        return Tokens(ids, weight)

    def extra_repr(self) -> str:
        said = [f"{self.weight.shape[0]} x {self.weight.shape[1]}"]
        said += [f"{name}={getattr(self, name)}" for name in ("dropout", "word_dropout") if getattr(self, name)]
        return ", ".join(said if self.weight.requires_grad else [*said, "not trained"])


def check_ids(ids: Tensor, size: int) -> None:
    """ArgumentError unless ids are whole numbers from 0 to size - 1."""
    if ids.dtype not in (torch.int64, torch.int32):
        raise ArgumentError(
            f"ids of type {ids.dtype} were given; they must be int64 numbers of a vocabulary of {size}."
        )
    # Looking at the values of a tensor on a GPU would make the host wait for it in every call.
    low, high = (int(ids.min()), int(ids.max())) if ids.device.type == "cpu" and ids.numel() else (0, 0)
    if low < 0 or high >= size:
        raise ArgumentError(
            f"ids go from {low} to {high}, but the vocabulary has {size} entries; "
            "encode the data with the vocabulary that the model was built for."
        )
