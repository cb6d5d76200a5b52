"""Pairs of texts as a network for translation reads them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data import LengthBatches, pad_ids
from unrolled.layers import IGNORED

Ids = npt.NDArray[np.int64]
# Scheduled sampling begins when the network's own words are no longer noise.
_RISING_EPOCHS = 5


@dataclass(frozen=True)
class Pairs:
    """Texts with their translations; `groups` are never parted between training and validation."""

    sources: Sequence[str]
    targets: Sequence[str]
    groups: Sequence[Hashable] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: npt.NDArray[np.int64]) -> Pairs:
        """The pairs in these rows."""
        groups = None if self.groups is None else [self.groups[i] for i in rows]
        return Pairs([self.sources[i] for i in rows], [self.targets[i] for i in rows], groups)


class PairBatch(NamedTuple):
    """source (B, S) and its lengths (B,); inputs (B, T) and what follows each, targets (B, T), -100 past the end.

    `sampling` is the chance that an input is replaced by the network's own word.
    """

    source: Tensor
    lengths: Tensor
    inputs: Tensor
    targets: Tensor
    sampling: float

    @property
    def tokens(self) -> int:
        """Targets that count."""
        return int((self.targets != IGNORED).sum())


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs of similar length; every target begins after `border` and ends with it."""

    order: LengthBatches
    sources: Sequence[Ids]
    targets: Sequence[Ids]
    border: int
    sampling: float = 0.0

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[PairBatch]:
        for place, rows in enumerate(self.order.epoch(number, start), start):
            passed = number + place / len(self)
            yield self.batch(rows, self.sampling * min(1.0, passed / _RISING_EPOCHS))

    def batch(self, rows: npt.NDArray[np.int64], sampling: float = 0.0) -> PairBatch:
        """These pairs, padded."""
        source, lengths = pad_ids([self.sources[i] for i in rows])
        border = np.array([self.border])
        inputs, _ = pad_ids([np.concatenate((border, self.targets[i])) for i in rows])
        targets, ends = pad_ids([np.concatenate((self.targets[i], border)) for i in rows])
        targets[np.arange(targets.shape[1]) >= ends[:, None]] = IGNORED
        as_tensor = torch.from_numpy
        return PairBatch(as_tensor(source), as_tensor(lengths), as_tensor(inputs), as_tensor(targets), sampling)


def batches_of(
    sources: Sequence[Ids], targets: Sequence[Ids], border: int, size: int, seed: int, sampling: float = 0.0
) -> PairBatches:
    """Training batches of pairs whose sources, and whose targets, are of nearly one length."""
    lengths = np.array([(len(source), len(target)) for source, target in zip(sources, targets, strict=True)])
    return PairBatches(LengthBatches(lengths, size, seed), sources, targets, border, sampling)
