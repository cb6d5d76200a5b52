"""What a captioner is asked: to say what is on a picture. The network is somebody else's; no torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unrolled.data import Vocabulary
from unrolled.decode.beam import Advance, BeamSearch, Hypothesis
from unrolled.errors import ArgumentError, RunError
from unrolled.tasks.pictures import Images, PictureReader

if TYPE_CHECKING:
    from unrolled.models import ImageEncoder

BORDER = "<caption>"
_ROWS = 64
_WIDEST = 4096

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Caption:
    """A caption, its natural log-probability, its units, and where each unit and the end looked: (T + 1, R)."""

    text: str
    log_probability: float
    units: tuple[str, ...]
    attention: npt.NDArray[np.floating[Any]] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """How the network looks: its own encoder's stages, or the width of regions that come from elsewhere.

    A region of the own encoder has the largest values of `around` x `around` of them: attention takes means, in which
    what tells shapes apart would be lost among the regions that a thing covers.
    """

    channels: tuple[int, ...]
    blocks: int
    attention: str
    features: int | None
    around: int = 3

    def encoder(self) -> ImageEncoder | None:
        """The encoder with fresh weights, if it is the network's own."""
        from unrolled.models import ImageEncoder

        return None if self.features is not None else ImageEncoder(self.channels, self.blocks, around=self.around)


class CaptionText(ABC):
    """Captions of pictures; no answer has more than `longest` units."""

    vocabulary: Vocabulary

    def __init__(self, vocabulary: Vocabulary, sight: Sight, longest: int, beam: int) -> None:
        self.vocabulary = vocabulary
        self.sight = sight
        self.longest = longest
        self.beam = beam
        self.border = vocabulary.special(BORDER)

    @abstractmethod
    def begin(self, images: Images) -> Any:
        """Where the search starts after these pictures, one row each."""

    @abstractmethod
    def advance(self, tokens: Ids, rows: Ids, state: Any) -> Advance[Any]:
        """One unit after these rows: log p (N, V), what to go on from, and where it looked (N, R)."""

    def predict(self, images: Images) -> list[str]:
        """The caption of each picture."""
        return [found[0].text for found in self.describe(images)]

    def describe(self, images: Images, *, best: int = 1) -> list[list[Caption]]:
        """The `best` captions of each picture, the best first, with where each word looked. Raises ArgumentError."""
        self._check(images)
        search = BeamSearch(self.border, max(self.beam, best), best=best)
        return [found for k in range(0, len(images), _ROWS) for found in self._write(images[k : k + _ROWS], search)]

    def _write(self, images: Images, search: BeamSearch) -> Iterator[list[Caption]]:
        start = np.full(len(images), self.border)
        for found in search.search(start, self.begin(images), self._advance, self.longest):
            yield [self._caption(one) for one in found]

    def _advance(self, tokens: Ids, rows: Ids, state: Any) -> Advance[Any]:
        found = self.advance(tokens, rows, state)
        found.log_probabilities[:, [self.vocabulary.pad, self.vocabulary.unknown]] = -np.inf
        return found

    def _caption(self, found: Hypothesis) -> Caption:
        units = tuple(self.vocabulary.token(token) for token in found.tokens)
        looked = np.zeros((0, 0)) if found.attention is None else found.attention
        return Caption(self.vocabulary.decode(found.tokens), found.log_probability, units, looked)

    def _check(self, images: Images) -> None:
        features = self.sight.features
        if features is None and (images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8):
            raise ArgumentError(
                f"the pictures are {images.shape} of {images.dtype}, this model reads bytes (N, H, W, 3); give those"
            )
        if features is not None and (images.ndim != 3 or images.shape[2] != features):
            raise ArgumentError(
                f"the pictures are {images.shape}, this model reads regions (N, R, {features}); "
                "give features computed as those that it was trained on"
            )


def sight_from_json(data: dict[str, Any]) -> Sight:
    """What `schema` wrote; RunError where it was changed or damaged, before memory is taken for it."""
    channels, features = data.get("channels"), data.get("features")
    around = data.get("around")
    counts: list[Any] = [None]
    if channels and isinstance(channels, list):
        counts = [*channels, data.get("blocks"), *([features] if features is not None else [])]
    known = (
        type(around) is int
        and around % 2 == 1
        and 1 <= around <= _WIDEST
        and set(data) == {f.name for f in fields(Sight)}
        and isinstance(data["attention"], str)
    )
    if not known or not all(type(count) is int and 0 <= count <= _WIDEST for count in counts) or len(counts) > 20:
        raise RunError("the data's schema does not say how the network looks at pictures")
    return Sight(**data | {"channels": tuple(channels or ())})


def reader_from_json(data: dict[str, Any]) -> PictureReader:
    """What `schema` wrote; RunError where it was changed or damaged."""
    optional = {"images", "features"}
    size = data.get("size")
    known = set(data) == {f.name for f in fields(PictureReader)} and type(size) is int and size >= 1
    if not known or not all(
        isinstance(value, str) or (name in optional and value is None) for name, value in data.items() if name != "size"
    ):
        raise RunError("the data's schema does not say how pictures are read")
    return PictureReader(**data)
