"""Pictures with captions as examples: what is read of a file, and its batches."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.data import LengthBatches, is_table, pad_ids
from unrolled.data.images import (
    Captioned,
    Pixels,
    load_pictures,
    picture_files,
    read_captions,
    read_features,
    read_image,
)
from unrolled.data.problems import Problems
from unrolled.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.models.backbone import Backbone

OWN = "own"
_SIZE, _BACKBONE_SIZE = 64, 224
_AT_ONCE = 32

Ids = npt.NDArray[np.int64]
Images = npt.NDArray[Any]
"""Bytes (N, S, S, 3), or regions (N, R, F) float32."""


@dataclass(frozen=True)
class Pictures:
    """Pictures, the captions of each (none where they are to be found), and the files they are from."""

    images: Images = field(repr=False)
    captions: Sequence[tuple[str, ...]]
    files: Sequence[Path]
    groups: Sequence[Hashable] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: npt.NDArray[np.int64]) -> Pictures:
        """The pictures in these rows."""
        groups = None if self.groups is None else [self.groups[k] for k in rows]
        return Pictures(self.images[rows], [self.captions[k] for k in rows], [self.files[k] for k in rows], groups)

    def keys(self) -> list[Hashable]:
        """What makes two pictures the same: all their numbers."""
        return [hashlib.sha256(image.tobytes()).hexdigest() for image in self.images]


@dataclass(frozen=True, kw_only=True)
class PictureReader:
    """How a run reads its pictures: columns, folder, pixels or features. Plain data, kept in the run's schema."""

    image: str
    caption: str
    images: str | None
    features: str | None
    encoder: str
    size: int

    @classmethod
    def of(cls, options: Any) -> PictureReader:
        """What an options object asks for; raises ArgumentError."""
        if options.features is not None and (options.encoder != OWN or options.size is not None):
            raise ArgumentError("features are read instead of pixels, so encoder and size say nothing; leave them out")
        size = options.size if options.size is not None else _SIZE if options.encoder == OWN else _BACKBONE_SIZE
        if size < 1:
            raise ArgumentError(f"size={size} must be at least 1; give a larger number or leave it out")
        return cls(
            image=options.image,
            caption=options.caption,
            images=None if options.images is None else str(options.images),
            features=None if options.features is None else str(options.features),
            encoder=options.encoder,
            size=size,
        )

    def read(
        self, path: Path, *, captions: bool = True, group: str | None = None, skip_bad: bool = False
    ) -> tuple[Pictures, tuple[DataError, ...]]:
        """The pictures that a table names, and what was left out. Raises DataError."""
        data = read_captions(
            path,
            self.image,
            self.caption if captions else None,
            folder=None if self.images is None else Path(self.images),
            group=group,
            skip_bad=skip_bad,
        )
        if self.features is not None:
            data, values = read_features(self.features).of(data, skip_bad=skip_bad)
            return self._pictures(data, values), data.skipped
        data, pixels = load_pictures(data, self.size, skip_bad=skip_bad)
        return self._pictures(data, self.seen(pixels)), data.skipped

    @staticmethod
    def _pictures(data: Captioned, images: Images) -> Pictures:
        return Pictures(images, data.captions, data.files, data.groups)

    def asked(self, path: Path, *, skip_bad: bool = False) -> tuple[Pictures, tuple[DataError, ...]]:
        """What is to be captioned, and what was left out: a picture, a folder, a table that names them, or features.

        Raises DataError.
        """
        if is_table(path):
            return self.read(path, captions=False, skip_bad=skip_bad)
        if (path.suffix.lower() == ".npz") != (self.features is not None):
            wanted = "pictures" if self.features is None else "features of pictures (.npz), or a table that names them"
            raise DataError(f"this run reads {wanted}; give those", path)
        if self.features is not None:
            features = read_features(path)
            return Pictures(features.values, [()] * len(features.values), [Path(name) for name in features.place]), ()
        problems = Problems(skip_bad)
        read: dict[Path, Pixels] = {}
        for file in picture_files(path):
            try:
                read[file] = read_image(file, self.size)
            except DataError as error:
                problems.report(error)
        if not read:
            raise DataError("none of its pictures can be read; give at least one", path)
        found = Pictures(self.seen(np.stack(list(read.values()))), [()] * len(read), list(read))
        return found, tuple(problems.found)

    def seen(self, pixels: Images) -> Images:
        """Bytes (N, S, S, 3) as the network reads them: the same, or the regions that torchvision's network makes."""
        if self.encoder == OWN:
            return pixels
        backbone = _backbone(self.encoder)
        parts = [backbone(as_tensor(pixels[k : k + _AT_ONCE])).numpy() for k in range(0, len(pixels), _AT_ONCE)]
        return np.concatenate(parts)


@cache
def _backbone(name: str) -> Backbone:
    from unrolled.models.backbone import Backbone

    return Backbone(name)


def as_tensor(images: Images) -> Tensor:
    """Bytes (B, S, S, 3) as (B, 3, S, S) in [0, 1]; regions (B, R, F) as they are."""
    import torch

    found = torch.from_numpy(np.ascontiguousarray(images))
    return found.permute(0, 3, 1, 2).float() / 255 if images.ndim == 4 else found


class Batch(NamedTuple):
    """Pictures with all their captions: pictures (B, ...), ids and targets (M, T), lengths (M,).

    `owner` (M,) is the picture of each caption.
    """

    pictures: Tensor
    ids: Tensor
    targets: Tensor
    lengths: Tensor
    owner: Tensor


@dataclass(frozen=True)
class PictureBatches:
    """Batches of pictures; a picture is read once for all its captions.

    Lengths are mixed: captions of one length often say one thing, such as "above" and not "left of", and a batch of
    those alone would teach to say it always.
    """

    order: LengthBatches
    images: Images
    captions: Sequence[Sequence[Ids]]

    @classmethod
    def of(cls, images: Images, captions: Sequence[Sequence[Ids]], size: int, seed: int | None) -> PictureBatches:
        """So many pictures in a batch; without a seed always in the same order."""
        alike = np.ones(len(images), dtype=np.int64)
        return cls(LengthBatches(alike, size, seed or 0, shuffle=seed is not None), images, captions)

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        for rows in self.order.epoch(number, start):
            yield self.batch(rows)

    def batch(self, rows: Ids) -> Batch:
        """These pictures. A caption is its border, its units, its border: all but the last are read, the rest told."""
        import torch

        owner = [place for place, row in enumerate(rows) for _ in self.captions[row]]
        units, lengths = pad_ids([ids for row in rows for ids in self.captions[row]])
        tokens = torch.from_numpy(units)
        return Batch(
            as_tensor(self.images[rows]), tokens[:, :-1], tokens[:, 1:], torch.from_numpy(lengths) - 1,
            torch.tensor(owner),
        )  # fmt: skip
