"""Features of a signal that is still arriving: part by part the same as of the whole."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.data.signals import HOP, Signal, Sound, Strokes
from unrolled.errors import ArgumentError


class Feed(Protocol):
    """Takes the signal as it comes: samples (N,) of sound, points (N, 3) of a pen, else steps (N, C)."""

    def push(self, part: Numbers) -> Numbers:
        """The features (T, F) that can be known now."""
        ...

    def finish(self) -> Numbers:
        """Those that waited for more."""
        ...


def feed(signal: Signal) -> Feed:
    """The feed of a signal. Raises ArgumentError where its features need the whole sample."""
    if isinstance(signal, Sound) and signal.steady:
        return _SoundFeed(signal)
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
        self.last = part[-1:]
        return found

    def finish(self) -> Numbers:
        return np.zeros((0, self.signal.width), np.float32)


class _SoundFeed:
    """Keeps the samples that the windows of later steps reach back to."""

    def __init__(self, signal: Sound) -> None:
        self.signal = signal
        self.hop = round(HOP * signal.rate)
        # More than half a window, in whole steps, so that the rows of what is kept are rows of the whole.
        self.reach = -(-round(0.025 * signal.rate) // self.hop)
        self.samples = np.zeros(0, np.float32)
        self.done = 0
        self.offset = 0

    def push(self, part: Numbers) -> Numbers:
        self.samples = np.concatenate([self.samples, np.asarray(part, np.float32)])
        return self._rows(self.offset + len(self.samples) // self.hop - self.reach)

    def finish(self) -> Numbers:
        if not self.offset and not len(self.samples):
            return np.zeros((0, self.signal.width), np.float32)
        return self._rows(self.offset + len(self.samples) // self.hop + 1)

    def _rows(self, until: int) -> Numbers:
        """The rows from the first that was not given yet to `until`."""
        if until <= self.done:
            return np.zeros((0, self.signal.width), np.float32)
        found = self.signal.mel(self.samples)[self.done - self.offset : until - self.offset]
        self.done = until
        passed = max(0, self.done - self.reach - self.offset)
        self.samples = self.samples[passed * self.hop :]
        self.offset += passed
        return found
