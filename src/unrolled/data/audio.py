"""Sound files -> samples -> log-mel features, with NumPy; soundfile reads the files and soxr changes their rate."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unrolled.data.arrays import Exact, Numbers, interpolated
from unrolled.data.text import opened
from unrolled.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from types import ModuleType

SOUND_SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"))
# Of a clip's loudest band; what is quieter by 10^8 in power is noise of the recording, not of the sound.
RANGE = 1e-8
FLOOR = 1e-10
# Seconds of sound that a row of features is made of.
WINDOW = 0.025
_RATES = (1_000, 768_000)
# Frames read at once, and the most samples of all channels: six hours at 48,000 Hz.
_PART, _MOST = 1 << 18, 1 << 30


def is_sound(path: str | Path) -> bool:
    """Whether the name says that it is a file of sound."""
    return Path(path).suffix.lower() in SOUND_SUFFIXES


def read_sound(path: str | Path, rate: int | None = None) -> tuple[Numbers, int]:
    """The samples (N,) of a WAV, FLAC, OGG or MP3 file, from -1 to 1, channels averaged, and their rate in Hz.

    `rate` changes the sampling rate to that. Raises DataError for a file that is missing, no sound, cut short or
    without a sample, and where soundfile or soxr is not installed.
    """
    path = Path(path)
    soundfile = _library("soundfile", path)
    with opened(path) as file:
        _check_length(file.read(1 << 16), path)
    try:
        with soundfile.SoundFile(str(path)) as sound:
            promised, found_rate = sound.frames, int(sound.samplerate)
            values = _frames(sound, path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise DataError(
            f"the sound cannot be decoded ({reason}); give WAV, FLAC, OGG or MP3, or write the file again", path
        ) from None
    if not len(values):
        raise DataError("the sound has no samples; record it again or take the file out", path)
    # An MP3 tells its length roughly; the others to the sample.
    if path.suffix.lower() != ".mp3" and len(values) < promised:
        raise _cut_short(len(values), promised, "samples", path)
    samples = values.mean(1)
    if not np.isfinite(samples).all():
        raise DataError(
            f"sample {int(np.argmin(np.isfinite(samples))) + 1} is not a finite number; mend the file", path
        )
    if rate is None or rate == found_rate:
        return samples, found_rate
    return resample(samples, found_rate, rate), rate


def _frames(sound: Any, path: Path) -> Numbers:
    """All frames (N, channels), in parts: a damaged head may promise more of them than there is memory for."""
    parts = []
    total = 0
    while len(part := sound.read(_PART, dtype="float32", always_2d=True)):
        parts.append(part)
        total += part.size
        if total > _MOST:
            raise DataError(f"the sound has more than {_MOST:,} samples; cut it into shorter ones", path)
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def sound_rate(path: str | Path) -> int:
    """The sampling rate that the head of the file names, in Hz. Raises DataError."""
    return sound_size(path)[0]


def sound_size(path: str | Path) -> tuple[int, int, int]:
    """What the head of the file promises: rate in Hz, samples a channel, channels. Raises DataError."""
    path = Path(path)
    soundfile = _library("soundfile", path)
    with opened(path):
        pass
    try:
        head = soundfile.info(str(path))
        return int(head.samplerate), int(head.frames), int(head.channels)
    except (soundfile.LibsndfileError, RuntimeError):
        raise DataError("this is no sound that can be read; give WAV, FLAC, OGG or MP3", path) from None


def resample(samples: Numbers, rate: int, to: int) -> Numbers:
    """The same sound (N,) at another sampling rate, by soxr at its high quality. Raises ArgumentError, DataError."""
    low, high = _RATES
    if not low <= to <= high:
        raise ArgumentError(f"rate={to} Hz is no sampling rate; give {low:,} to {high:,}")
    if rate == to:
        return samples
    soxr = _library("soxr", None)
    found = np.asarray(soxr.resample(samples, rate, to), dtype=np.float32)
    return found if len(found) else samples[:1]


def log_mel(
    samples: Numbers,
    rate: int,
    *,
    bands: int = 64,
    window: float = WINDOW,
    hop: float = 0.010,
    steady: bool = False,
) -> Numbers:
    """log_10 of the power in `bands` mel bands, (T, bands): a row each `hop` seconds, T = 1 + floor(N / (rate hop)).

    X_t = |FFT(hann * x_t)|^2 over `window` seconds centred at t hop, then triangles evenly spaced on the mel scale
    m = 2595 log_10(1 + f / 700) from 20 Hz to half the rate. Silence is 80 dB below the loudest band of the clip, or
    where `steady` at one level for all clips, so that a row depends on its own window alone.
    Raises ArgumentError for sizes that give no band or no frame.
    """
    hann, step, points, filters = mel_bands(rate, bands, window=window, hop=hop)
    size = len(hann)
    padded = np.pad(np.asarray(samples, dtype=np.float32), (size // 2, size // 2 + step))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step][: 1 + len(samples) // step]
    rows = []
    for start in range(0, len(frames), _FRAMES):  # a clip of minutes must not take a gigabyte
        spectrum = np.fft.rfft(frames[start : start + _FRAMES] * hann, points)
        rows.append((spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ filters)
    power = np.concatenate(rows) / np.float32(hann.sum() ** 2)
    found: Numbers = np.log10(np.maximum(power, FLOOR if steady else max(FLOOR, RANGE * float(power.max()))))
    return found


class MelBands(NamedTuple):
    """The window (n,), the samples from row to row, the points of the Fourier transform, the triangles (K, bands).

    K is points / 2 + 1.
    """

    window: Numbers
    hop: int
    points: int
    filters: Numbers


def mel_bands(rate: int, bands: int, *, window: float = WINDOW, hop: float = 0.010) -> MelBands:
    """What `log_mel` does to a sound at `rate` Hz; raises ArgumentError for sizes that give no band or no frame."""
    size, step = round(window * rate), round(hop * rate)
    if bands < 1 or size < 2 or step < 1:
        raise ArgumentError(
            f"bands={bands}, window={window:g} s and hop={hop:g} s at {rate} Hz make no features; "
            "give at least one band, and times of more than a sample"
        )
    points = 1 << (size - 1).bit_length()
    hann = np.hanning(size + 1)[:-1].astype(np.float32)
    return MelBands(hann, step, points, _mel_filters(bands, rate, points))


_FRAMES = 4096


@functools.lru_cache(maxsize=16)
def _mel_filters(bands: int, rate: int, points: int) -> Numbers:
    """Triangles (points / 2 + 1, bands), each of weight 1 in all, so that white noise is level."""
    edges = _hertz(np.linspace(_mel(20.0), _mel(rate / 2), bands + 2))
    centres = np.arange(points // 2 + 1) * (rate / points)
    # A band narrower than the distance of two frequencies still takes in the nearest of them.
    spread = np.maximum(np.diff(edges), rate / points)
    rising = (centres[:, None] - edges[1:-1] + spread[:-1]) / spread[:-1]
    falling = (edges[1:-1] + spread[1:] - centres[:, None]) / spread[1:]
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    filters: Numbers = (triangles / triangles.sum(0)).astype(np.float32)
    return filters


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: Exact) -> Exact:
    found: Exact = 700 * (10 ** (mel / 2595) - 1)
    return found


def augment_features(
    features: Numbers, rng: np.random.Generator, strength: float = 1.0, *, pitch: bool = True
) -> Numbers:
    """Another (T', bands) that sounds alike: faster or slower, higher or lower, louder, with holes in time and pitch.

    Speed and pitch change by up to 15 and 8 %, the level by 5 dB, times `strength`; then up to a tenth of the steps
    and an eighth of the bands, twice each, become the clip's mean (Park et al. 2019, SpecAugment). `strength` 0 leaves
    all as it is, and without `pitch` each band keeps its place.
    """
    if strength <= 0:
        return features
    steps, bands = features.shape
    length = max(1, round(steps * (1 + strength * rng.uniform(-0.15, 0.15))))
    shift = bands * strength * rng.uniform(-0.04, 0.04)
    warped = interpolated(features, np.linspace(0, steps - 1, length), 0)
    scale = 1 + strength * rng.uniform(-0.08, 0.08)
    if pitch:
        warped = interpolated(warped, np.arange(bands) * scale + shift, 1)
    warped += np.float32(strength * rng.uniform(-0.5, 0.5))
    mean = warped.mean()
    for _ in range(2):
        start, width = _hole(length, strength * 0.1, rng)
        warped[start : start + width] = mean
        start, width = _hole(bands, strength * 0.125, rng)
        warped[:, start : start + width] = mean
    return warped


def _hole(size: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    width = int(rng.integers(0, round(size * min(share, 1.0)) + 1))
    return int(rng.integers(0, size - width + 1)), width


def _check_length(head: bytes, path: Path) -> None:
    """DataError where a WAV file ends before the samples that its head promises; libsndfile reads on in silence."""
    if not head:
        raise DataError("the file is empty, and a sound is needed; record it again or take the file out", path)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    place = 12
    while place + 8 <= len(head):
        name, size = struct.unpack("<4sI", head[place : place + 8])
        if name == b"data":
            there = path.stat().st_size - place - 8
            # A program that writes into a pipe cannot know the length and puts the largest number there.
            if there < size < 0x7FFFF000:
                raise _cut_short(there, size, "bytes", path)
            return
        place += 8 + size + size % 2


def _cut_short(there: int, promised: int, what: str, path: Path) -> DataError:
    return DataError(
        f"the file is cut short ({there:,} of the {promised:,} {what} of sound that its head promises); copy it again",
        path,
    )


def _library(name: str, path: Path | None) -> ModuleType:
    try:
        return __import__(name)
    except (ImportError, OSError):
        raise DataError(
            f"reading sound needs {name}, which is not installed; run \"pip install 'unrolled[audio]'\"", path
        ) from None
