"""What a transcriber reads, one class a kind: a file -> what is kept in memory (T, C) -> features (T, F)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unrolled.data.archive import NotAnArray, read_array
from unrolled.data.arrays import Numbers
from unrolled.data.audio import SOUND_SUFFIXES, augment_features, log_mel, read_sound, sound_rate
from unrolled.data.line_images import IMAGE_FILES, augment_columns, read_columns
from unrolled.data.strokes import STROKE_FILES, augment_points, pen_features, read_strokes
from unrolled.data.text import opened, suffix_of
from unrolled.errors import ArgumentError, DataError

HOP = 0.010
# More than this a second tells speech nothing new.
_HIGHEST_RATE = 16_000


@dataclass(frozen=True)
class Signal(ABC):
    """How one kind of input becomes features; its fields are what a run must remember of it."""

    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def width(self) -> int:
        """Features of a step."""

    @property
    def title(self) -> str:
        """What it is, for a reader."""
        return self.kind

    @abstractmethod
    def read(self, path: Path) -> Numbers:
        """What is kept of a file, (T, C). Raises DataError."""

    def features(self, kept: Numbers) -> Numbers:
        """The features (T, F) of what is kept."""
        return kept

    def augment(self, kept: Numbers, rng: np.random.Generator, strength: float) -> Numbers:
        """Another sample that says the same; `strength` 0 leaves all as it is."""
        return kept

    def seconds(self, steps: int) -> float | None:
        """How long so many steps are, where the signal knows."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `signal_from_json` makes an equal one."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Sound(Signal):
    """Sound at `rate` Hz as the logarithm of the power in `bands` mel bands, a step each 10 ms.

    `steady`: silence has one level for all clips, and not a level below each clip's loudest, so that a step does not
    depend on what comes after it.
    """

    kind: ClassVar[str] = "sound"
    suffixes: ClassVar[tuple[str, ...]] = tuple(sorted(SOUND_SUFFIXES))
    rate: int = 16_000
    bands: int = 40
    steady: bool = False

    @property
    def width(self) -> int:
        return self.bands

    @property
    def title(self) -> str:
        return f"sound at {self.rate:,} Hz"

    def read(self, path: Path) -> Numbers:
        return self.mel(read_sound(path, self.rate)[0])

    def mel(self, samples: Numbers) -> Numbers:
        """The features of samples (N,) at `rate`."""
        return log_mel(samples, self.rate, bands=self.bands, hop=HOP, steady=self.steady)

    def augment(self, kept: Numbers, rng: np.random.Generator, strength: float) -> Numbers:
        return augment_features(kept, rng, strength)

    def seconds(self, steps: int) -> float | None:
        return steps * round(HOP * self.rate) / self.rate


@dataclass(frozen=True)
class Strokes(Signal):
    """Pen strokes as what changes from point to point; `whole`: brought to one height, which needs all of them."""

    kind: ClassVar[str] = "strokes"
    suffixes: ClassVar[tuple[str, ...]] = STROKE_FILES
    shape: bool = True
    whole: bool = True

    @property
    def width(self) -> int:
        return 7 if self.shape else 3

    def read(self, path: Path) -> Numbers:
        return read_strokes(path)

    def features(self, kept: Numbers) -> Numbers:
        return pen_features(kept, shape=self.shape, whole=self.whole)

    def augment(self, kept: Numbers, rng: np.random.Generator, strength: float) -> Numbers:
        return augment_points(kept, rng, strength)


@dataclass(frozen=True)
class LineImage(Signal):
    """A picture of one line of text as its columns of `height` pixels, left to right, ink 1 and paper 0."""

    kind: ClassVar[str] = "image"
    suffixes: ClassVar[tuple[str, ...]] = IMAGE_FILES
    height: int = 32

    @property
    def width(self) -> int:
        return self.height

    def read(self, path: Path) -> Numbers:
        return read_columns(path, self.height)

    def augment(self, kept: Numbers, rng: np.random.Generator, strength: float) -> Numbers:
        return augment_columns(kept, rng, strength)


@dataclass(frozen=True)
class Features(Signal):
    """Features that were computed elsewhere: an .npy file (T, F) a sample."""

    kind: ClassVar[str] = "features"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    count: int = 1

    @property
    def width(self) -> int:
        return self.count

    def read(self, path: Path) -> Numbers:
        found = read_features(path)
        if found.shape[1] != self.count:
            raise DataError(f"{found.shape[1]} features a step where the first sample has {self.count}", path)
        return found


SIGNALS: dict[str, type[Signal]] = {kind.kind: kind for kind in (Sound, Strokes, LineImage, Features)}


def kind_of_file(path: Path) -> str:
    """The kind of signal that a file holds, by its name. Raises DataError."""
    for kind in SIGNALS.values():
        if suffix_of(path) in kind.suffixes:
            return kind.kind
    known = ", ".join(suffix for kind in SIGNALS.values() for suffix in kind.suffixes)
    raise DataError(f"the name ends in {path.suffix!r}, and one of {known} is needed; convert the file", path)


@dataclass(frozen=True)
class Choice:
    """How a signal is to be made where there is none yet.

    `features` chooses among those of the pen, "shape" or "offsets", or says how many bands or rows of pixels there are;
    `rate` is that of sound in Hz; `causal`: no step may depend on what comes after it.
    """

    features: str | None = None
    rate: int | None = None
    causal: bool = False

    def signal(self, kind: str, first: Path | None = None) -> Signal:
        """The signal of a kind; what is left open, the `first` file decides. Raises DataError and ArgumentError."""
        if kind == Strokes.kind:
            if self.features not in (None, "shape", "offsets"):
                raise ArgumentError(f"features={self.features!r} is not known for strokes; give shape or offsets")
            return Strokes(shape=self.features != "offsets", whole=not self.causal)
        count = self._count()
        if kind == Sound.kind:
            own = _HIGHEST_RATE if first is None or self.rate is not None else sound_rate(first)
            return Sound(self.rate or min(own, _HIGHEST_RATE), count or 40, steady=self.causal)
        if kind == LineImage.kind:
            return LineImage(count or 32)
        return Features(1 if first is None else read_features(first).shape[1])

    def _count(self) -> int | None:
        if self.features is None:
            return None
        if not self.features.isdecimal() or not 1 <= int(self.features) <= 512:
            raise ArgumentError(
                f"features={self.features!r} is no number of bands or rows of pixels; give a number from 1 to 512"
            )
        return int(self.features)


OPEN = Choice()


def signal_from_json(data: object) -> Signal:
    """The signal whose `to_json` this is; DataError for anything else."""
    kind = SIGNALS.get(str(data.get("kind"))) if isinstance(data, Mapping) else None
    if kind is None or not isinstance(data, Mapping):
        raise DataError("the signal is none that is known; restore the file")
    types = {f.name: type(f.default) for f in fields(kind)}
    values = {name: value for name, value in data.items() if name != "kind"}
    if set(values) != set(types) or any(type(values[n]) is not types[n] for n in types):
        raise DataError(f"the signal {kind.kind!r} lacks entries or has strange ones; restore the file")
    if any(value < 1 for value in values.values() if not isinstance(value, bool)):
        raise DataError(f"the signal {kind.kind!r} has a size below 1; restore the file")
    return kind(**values)


def read_features(path: Path) -> Numbers:
    """The array (T, F) of an .npy file, all of it finite; pickled objects are never loaded. Raises DataError."""
    with opened(path) as file:
        try:
            values = read_array(file)
        except NotAnArray as error:
            sentence = f"this is no .npy array of numbers ({error}); write it with numpy.save"
            raise DataError(sentence, path) from None
    if values.ndim != 2 or not values.size or values.dtype.kind not in "biuf":
        raise DataError("an array (T, F) of numbers is needed, with at least one step; write it so", path)
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError("a feature is not a finite number; mend the file", path)
    return found
