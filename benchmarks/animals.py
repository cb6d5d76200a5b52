"""Calls of ten animals, synthesised: a folder for each, a file for each clip."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RATE = 16_000
Samples = npt.NDArray[np.float64]


class Call(NamedTuple):
    """Notes of `seconds` with so long a pause between them: pitch in Hz along a note, overtones, trill, breath.

    The strength of overtone k is `overtones` to the power of k; `trill` is how often in a second the note swells;
    `breath` is the share of noise.
    """

    pitch: tuple[float, ...]
    seconds: float
    pause: float
    notes: tuple[int, int]
    overtones: float = 0.5
    trill: float = 0.0
    breath: float = 0.0


# Thrush and wren, cuckoo and dove have the same pitches, in another order.
ANIMALS = {
    "cat": Call((450, 750, 650, 400), 0.8, 0.4, (1, 2), overtones=0.6),
    "cow": Call((120, 170, 160, 110), 1.3, 0.5, (1, 1), overtones=0.8),
    "cricket": Call((4500, 4500), 0.03, 0.03, (8, 24), overtones=0.1),
    "cuckoo": Call((660, 660, 550, 550), 0.5, 0.5, (1, 4), overtones=0.1),
    "dog": Call((500, 700, 300), 0.15, 0.25, (1, 5), overtones=0.7, breath=0.4),
    "dove": Call((550, 550, 660, 660), 0.5, 0.5, (1, 4), overtones=0.1),
    "frog": Call((300, 350), 0.25, 0.2, (2, 5), overtones=0.8, trill=45, breath=0.2),
    "sheep": Call((350, 380, 330), 0.9, 0.5, (1, 2), overtones=0.75, trill=8),
    "thrush": Call((2500, 3500), 0.2, 0.1, (2, 7), overtones=0.2),
    "wren": Call((3500, 2500), 0.2, 0.1, (2, 7), overtones=0.2),
}


def make_animals(folder: Path, count: int, *, seed: int, noise: float) -> Path:
    """So many clips of each animal in `folder`, at 16 kHz, with up to so much noise behind a call of 1."""
    import soundfile  # type: ignore[import-untyped]

    rng = np.random.default_rng(seed)
    for name, call in ANIMALS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            samples = clip(call, rng)
            samples += rng.uniform(0.1, 1.0) * noise * rng.normal(size=len(samples))
            samples *= rng.uniform(0.05, 0.8) / np.abs(samples).max()
            soundfile.write(folder / name / f"{number}.wav", samples, RATE, subtype="PCM_16")
    return folder


def clip(call: Call, rng: np.random.Generator) -> Samples:
    """A few notes of one animal, whose pitch and speed are its own, between silences."""
    pitch, speed = rng.uniform(0.85, 1.15), rng.uniform(0.8, 1.25)
    parts = [np.zeros(_samples(rng.uniform(0.05, 0.5)))]
    for _ in range(int(rng.integers(call.notes[0], call.notes[1] + 1))):
        parts.append(_note(call, pitch * rng.uniform(0.97, 1.03), speed * rng.uniform(0.95, 1.05), rng))
        parts.append(np.zeros(_samples(call.pause / speed * rng.uniform(0.8, 1.2))))
    return np.concatenate([*parts, np.zeros(_samples(rng.uniform(0.05, 0.5)))])


def _note(call: Call, pitch: float, speed: float, rng: np.random.Generator) -> Samples:
    length = _samples(call.seconds / speed)
    along = np.linspace(0, 1, length)
    hertz = pitch * np.interp(along, np.linspace(0, 1, len(call.pitch)), call.pitch)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    highest = max(1, int(0.45 * RATE / hertz.max()))
    strengths = call.overtones ** np.arange(min(highest, 20))
    voice = sum(strength * np.sin((k + 1) * phase) for k, strength in enumerate(strengths)) / strengths.sum()
    swell = 1 + 0.8 * np.sin(2 * np.pi * call.trill * np.arange(length) / RATE) if call.trill else 1.0
    found: Samples = np.sin(np.pi * along) ** 0.5 * swell * (voice + 0.5 * call.breath * rng.normal(size=length))
    return found


def _samples(seconds: float) -> int:
    return max(1, round(seconds * RATE))
