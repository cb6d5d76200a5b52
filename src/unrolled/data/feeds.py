"""Features of a signal that is still arriving: part by part the same as of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Numbers
from unrolled.data.audio import WINDOW
from unrolled.data.signals import HOP, Signal, Sound, Strokes
from unrolled.errors import ArgumentError

Array = npt.NDArray[Any]
# No sound goes beyond 1 by so much, but one of whole numbers does.
_LOUDEST = 100.0


class Feed(Protocol):
    """Takes the signal as it comes: samples (N,) or (N, 1) of sound, points (N, 3) of a pen, else steps (N, C)."""

    def push(self, part: Numbers) -> Numbers:
        """The features (T, F) that can be known now."""
        ...

    def finish(self) -> Numbers:
        """Those that waited for more."""
        ...

    def save(self) -> dict[str, Array]:
        """What it has kept, as arrays."""
        ...

    def load(self, saved: dict[str, Array]) -> None:
        """Go on where `save` was called; the arrays have the axes of those of a fresh feed, the first of any length."""
        ...


def feed(signal: Signal) -> Feed:
    """The feed of a signal. Raises ArgumentError where its features need the whole sample."""
    if isinstance(signal, Sound) and signal.steady:
        return SoundFeed(signal.mel, round(HOP * signal.rate), round(WINDOW * signal.rate), signal.width)
    if isinstance(signal, Strokes) and not signal.whole:
        return _PenFeed(signal)
    if isinstance(signal, Sound | Strokes):
        raise ArgumentError("the features of this run need a whole sample; train with --causal for streams")
    return _StepFeed(signal)


class _StepFeed:
    def __init__(self, signal: Signal) -> None:
        self.signal = signal

    def push(self, part: Numbers) -> Numbers:
        return self.signal.features(part)

    def finish(self) -> Numbers:
        return np.zeros((0, self.signal.width), np.float32)

    def save(self) -> dict[str, Array]:
        return {}

    def load(self, saved: dict[str, Array]) -> None:
        """It keeps nothing."""


class _PenFeed:
    """Keeps the last point, from which the next is measured, and the height of the first."""

    def __init__(self, signal: Strokes) -> None:
        self.signal = signal
        self.first: float | None = None
        self.last = np.zeros((0, 3), np.float32)

    def push(self, part: Numbers) -> Numbers:
        if not len(part):
            return self.finish()
        joined = np.concatenate([self.last, part])
        found = self.signal.features(joined)[len(self.last) :]
        if self.first is None:
            self.first = float(part[0, 1])
        elif self.signal.shape:
            # Heights are from the first point of all; here they were from the last one of the part before.
            found[:, 2] += self.last[0, 1] - self.first
        self.last = part[-1:].copy()
        return found

    def finish(self) -> Numbers:
        return np.zeros((0, self.signal.width), np.float32)

    def save(self) -> dict[str, Array]:
        first = [] if self.first is None else [self.first]
        return {"first": np.array(first, np.float32), "last": self.last.astype(np.float32)}

    def load(self, saved: dict[str, Array]) -> None:
        begun = len(saved["first"]) > 0 and len(saved["last"]) > 0
        self.first = float(saved["first"][0]) if begun else None
        self.last = saved["last"][-1:] if begun else saved["last"][:0]


class SoundFeed:
    """Keeps the samples that the windows of later steps reach back to.

    `features` makes samples (N,) to rows (1 + N // hop, `width`), each of the `window` samples around its own.
    """

    def __init__(self, features: Callable[[Numbers], Numbers], hop: int, window: int, width: int) -> None:
        self.features, self.hop, self.width = features, hop, width
        # More than half a window, in whole steps, so that the rows of what is kept are rows of the whole.
        self.reach = -(-window // hop)
        self.samples = np.zeros(0, np.float32)
        self.done = 0
        self.offset = 0

    def push(self, part: Numbers) -> Numbers:
        self.samples = np.concatenate([self.samples, _checked(np.asarray(part, np.float32).ravel())])
        return self._rows(self.offset + len(self.samples) // self.hop - self.reach)

    def finish(self) -> Numbers:
        if not self.offset and not len(self.samples):
            return np.zeros((0, self.width), np.float32)
        return self._rows(self.offset + len(self.samples) // self.hop + 1)

    def save(self) -> dict[str, Array]:
        return {"samples": self.samples, "passed": np.array([self.done, self.offset])}

    def load(self, saved: dict[str, Array]) -> None:
        self.samples = _checked(saved["samples"])
        done, offset = (max(0, int(count)) for count in saved["passed"])
        self.done, self.offset = max(done, offset), offset

    def _rows(self, until: int) -> Numbers:
        """The rows from the first that was not given yet to `until`."""
        if until <= self.done:
            return np.zeros((0, self.width), np.float32)
        found = self.features(self.samples)[self.done - self.offset : until - self.offset]
        self.done = until
        passed = max(0, self.done - self.reach - self.offset)
        self.samples = self.samples[passed * self.hop :].copy()  # a view would keep the whole part
        self.offset += passed
        return found


def _checked(samples: Numbers) -> Numbers:
    """Samples as they are; ArgumentError where they were never brought to -1 to 1."""
    loudest = float(np.abs(samples).max(initial=0))
    if loudest > _LOUDEST:
        raise ArgumentError(
            f"a sample is {loudest:g} in size, and samples are numbers from -1 to 1; divide those of 16 bits by 32,768"
        )
    return samples
