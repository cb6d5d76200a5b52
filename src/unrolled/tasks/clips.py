"""What a transcriber learns from: samples with their texts, checked so that no loss can become infinite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data import LengthBatches, Scaler, Vocabulary, pad_ids
from unrolled.data.arrays import Ids, Numbers
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.signals import Signal, Sound
from unrolled.decode.ctc import steps_needed
from unrolled.errors import DataError
from unrolled.tasks.sequences import Examples, padded

# Of a batch, before they are joined: eleven minutes of sound. So memory is that of a few long clips, however many.
STEPS_AT_ONCE = 1 << 16
_STEPS_OF_A_SCALE = 1 << 20
_REDUCTIONS = (8, 4, 2)
# Steps that are left for each symbol; those of sound overlap, so fewer say as much.
_LEFT, _LEFT_OF_SOUND = 5.0, 3.0


@dataclass(frozen=True)
class Clips(Examples):
    """Samples (T, C) as `signal` keeps them with their texts, and where each stands; ready for one network.

    `vocabulary` and `reduction` are those of the network that is to be trained on them.
    """

    origins: Sequence[Origin] = ()
    signal: Signal = field(default_factory=Sound)
    vocabulary: Vocabulary | None = None
    reduction: int = 1

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """The clips in these rows."""
        groups = None if self.groups is None else [self.groups[i] for i in rows]
        return replace(
            self,
            inputs=[self.inputs[i] for i in rows],
            targets=[self.targets[i] for i in rows],
            groups=groups,
            origins=[self.origins[i] for i in rows],
        )


class ClipBatch(NamedTuple):
    """inputs (B, T, F), their lengths (B,), targets (B, L) ids, theirs (B,)."""

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor


@dataclass(frozen=True)
class ClipBatches:
    """Batches of clips, changed by chance at `augment`; a pure function of seed, epoch and position."""

    order: LengthBatches
    clips: Clips
    targets: Sequence[Ids]
    scaler: Scaler
    augment: float

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[ClipBatch]:
        for place, rows in enumerate(self.order.epoch(number, start), start):
            rng = np.random.default_rng((self.order.seed, number, place))
            inputs, lengths = padded([self._features(row, rng) for row in rows])
            targets, counts = pad_ids([self.targets[row] for row in rows])
            yield ClipBatch(inputs, lengths, torch.from_numpy(targets), torch.from_numpy(counts))

    def _features(self, row: int, rng: np.random.Generator) -> Numbers:
        signal, kept = self.clips.signal, self.clips.inputs[row]
        other = signal.augment(kept, rng, self.augment)
        # A clip played faster may become too short for its text.
        if -(-len(other) // self.clips.reduction) < steps_needed(self.targets[row]):
            other = kept
        return self.scaler.transform(signal.features(other))


def typical(samples: Sequence[Numbers]) -> Sequence[Numbers]:
    """Evenly spread samples of about a million steps in all, or as many as there are: enough to learn a scale from."""
    return samples[:: -(-sum(map(len, samples)) // _STEPS_OF_A_SCALE)]


def at_once(lengths: Sequence[int], rows: int, steps: int) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers to be read together: at most so many rows, and steps where there is more than one."""
    if lengths:
        yield from LengthBatches(lengths, rows, 0, shuffle=False, steps=steps).epoch(0)


def fitting_reduction(clips: Clips, vocabulary: Vocabulary) -> int:
    """How many steps may become one: the most that leave several for a usual symbol, and enough for nearly all clips.

    1 for features that were computed elsewhere, whose steps may already be joined.
    """
    if clips.signal.kind == "features":
        return 1
    needed = [max(1, steps_needed(vocabulary.encode(text))) for text in clips.targets]
    ratios = np.array([len(sample) for sample in clips.inputs]) / np.array(needed)
    left = _LEFT_OF_SOUND if clips.signal.kind == "sound" else _LEFT
    usual, short = np.median(ratios), np.quantile(ratios, 0.02, method="lower")
    return next((factor for factor in _REDUCTIONS if usual / factor >= left and short / factor >= 1.5), 1)


def usable(clips: Clips, vocabulary: Vocabulary, reduction: int, problems: Problems) -> Clips:
    """Those that can be learnt; raises DataError, or reports, where a symbol is unknown or the input is too short."""
    kept = []
    for place, (sample, text, origin) in enumerate(zip(clips.inputs, clips.targets, clips.origins, strict=True)):
        try:
            _check(len(sample), text, vocabulary, reduction, origin)
        except DataError as error:
            problems.report(error)
        else:
            kept.append(place)
    if not kept:
        raise DataError("no sample of it can be used; see what is wrong with each without --skip-bad", *_where(clips))
    return replace(clips.take(np.array(kept)), vocabulary=vocabulary, reduction=reduction)


def _where(clips: Clips) -> tuple[Any, ...]:
    return (clips.origins[0].path,) if clips.origins else ()


def _check(steps: int, text: str, vocabulary: Vocabulary, reduction: int, origin: Origin) -> None:
    ids = vocabulary.encode(text)
    if (ids == vocabulary.unknown).any():
        raise DataError(_unknown(text, ids, vocabulary), origin.path, origin.row)
    left, needed = -(-steps // reduction), steps_needed(ids)
    if left < needed:
        joined = f", {left} after each {reduction} became one," if reduction > 1 else ""
        raise DataError(
            f"the input has {steps} steps{joined} and its text needs {needed}; "
            "give a longer input, a shorter text or a smaller --reduction",
            origin.path,
            origin.row,
        )


def _unknown(text: str, ids: Ids, vocabulary: Vocabulary) -> str:
    place = int((ids == vocabulary.unknown).argmax())
    what = "character" if vocabulary.units == "char" else vocabulary.units
    pieces = list(text) if vocabulary.units == "char" else text.split()
    shown = repr(pieces[place]) if len(pieces) == len(ids) else "one of them"
    return (
        f"the text has a {what} ({shown}) that the training texts do not teach; "
        "correct it, take the row out or train on texts that have it"
    )
