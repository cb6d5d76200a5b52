"""`Captioner`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from unrolled.data.images import array_image, read_image
from unrolled.errors import ArgumentError
from unrolled.tasks.caption import CaptionTask, hold_out
from unrolled.tasks.caption_text import Caption
from unrolled.tasks.estimators.base import FEWEST_HELD_OUT, Estimator
from unrolled.tasks.model import Parts
from unrolled.tasks.options import Common, option
from unrolled.tasks.options.caption import CaptionOptions
from unrolled.tasks.pictures import Images, PictureReader, Pictures


@dataclass(kw_only=True, repr=False, eq=False)
class Captioner(Estimator, CaptionOptions):
    """Say what is on a picture: p(y_1 ... y_n | picture), word by word, with spatial attention (Xu et al. 2015).

    `fit(X, y)`: X are n paths of pictures, or n arrays of bytes (H, W, 3), (H, W, 4) or (H, W) of any sizes, or regions
    (n, R, F) of floats that were computed beforehand. y are n captions, or n lists of captions. `cell` is a name or a
    Cell.

    >>> model = Captioner(cell="gru").fit(["a.png", "b.png"], ["a cat", ["a dog", "a brown dog"]])  # doctest: +SKIP
    """

    cell: Any = option("gru", "a cell's name or a Cell")
    image: str = field(default="image", init=False)
    caption: str = field(default="caption", init=False)
    images: Path | None = field(default=None, init=False)
    features: Path | None = field(default=None, init=False)

    task: ClassVar[str] = "caption"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on pictures and their captions; raises DataError or ArgumentError where one cannot be used."""
        examples = self._examples(PictureReader.of(self), X, y)
        if round(self.validation * len(examples)) < FEWEST_HELD_OUT:
            return self._fit(Parts(examples, how="none"))
        return self._fit(hold_out(examples, self.validation, Common(seed=self.seed)))

    def predict(self, X: Any) -> list[str]:
        """The caption of each picture."""
        return [found[0].text for found in self.describe(X)]

    def describe(self, X: Any, best: int = 1) -> list[list[Caption]]:
        """The `best` captions of each picture with their log-probabilities and where each word looked."""
        model: CaptionTask = self._fitted
        return model.describe(_images(model.reader, X), best=best)

    def score(self, X: Any, y: Any) -> float:
        """BLEU-4 in percent."""
        model: CaptionTask = self._fitted
        return model.measure(self._examples(model.reader, X, y))["bleu_4"]

    @staticmethod
    def _examples(reader: PictureReader, X: Any, y: Any) -> Pictures:
        images = _images(reader, X)
        return Pictures(images, _captions(y, len(images)), [Path(f"X[{place}]") for place in range(len(images))])


def _images(reader: PictureReader, X: Any) -> Images:
    """Pictures or regions as the reader's network sees them; raises DataError or ArgumentError."""
    if isinstance(X, str | Path) or not len(X):
        raise ArgumentError("X must be a list of pictures, one for each caption; give [picture]")
    if isinstance(X[0], str | Path):
        return reader.seen(np.stack([read_image(path, reader.size) for path in X]))
    if np.asarray(X[0]).dtype.kind == "f":
        regions = np.asarray(X, dtype=np.float32)
        if regions.ndim not in (2, 3) or not regions.size or not np.isfinite(regions).all():
            raise ArgumentError(f"X is {regions.shape} of floats; give finite regions (n, R, F), or bytes for pictures")
        return regions if regions.ndim == 3 else regions[:, None]
    return reader.seen(np.stack([array_image(np.asarray(picture), reader.size) for picture in X]))


def _captions(y: Any, count: int) -> list[tuple[str, ...]]:
    if y is None or isinstance(y, str) or len(y) != count:
        given = "no list" if y is None or isinstance(y, str) else len(y)
        raise ArgumentError(f"X has {count} pictures and y has {given} captions; give a caption, or a list, for each")
    found = []
    for place, given in enumerate(y):
        several: Sequence[Any] = (given,) if isinstance(given, str) else tuple(given)
        if not several or not all(isinstance(text, str) and text.strip() for text in several):
            raise ArgumentError(f"y[{place}] is {given!r}; give a caption, or a list of captions, none of them empty")
        found.append(tuple(several))
    return found
