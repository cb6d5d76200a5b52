"""An input whose steps are rows of one table, as those of text are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Tokens:
    """`table[ids]` not yet looked up: ids (B, T) int64 of rows of table (V, F) stand for (B, T, F).

    An engine may multiply the table by W once, instead of what it looked up, where there are more steps than rows.
    """

    ids: Tensor
    table: Tensor

    def dense(self) -> Tensor:
        """(B, T, F)."""
        return functional.embedding(self.ids, self.table)

    def fewer(self) -> Tokens:
        """The same with no rows in the table but those that are read."""
        used, ids = self.ids.unique(return_inverse=True)  # type: ignore[no-untyped-call]  # torch does not type it
        return Tokens(ids, functional.embedding(used, self.table))

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.ids.shape, self.table.shape[1]))

    @property
    def dtype(self) -> torch.dtype:
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        return self.table.device

    def dim(self) -> int:
        return self.ids.dim() + 1


def dense(xs: Tensor | Tokens | None) -> Tensor | None:
    """The input looked up."""
    return xs.dense() if isinstance(xs, Tokens) else xs
