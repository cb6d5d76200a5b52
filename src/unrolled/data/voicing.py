"""How voiced a sound is and how high, step by step: what mel bands, made to blur it, say least of."""

from __future__ import annotations

import numpy as np

from unrolled.data.arrays import Exact, Numbers, interpolated
from unrolled.data.audio import augment_features

_LOW, _HIGH, _MIDDLE = 60.0, 500.0, 200.0
WINDOW = 0.04
# Twice the true period fits as well; a shorter one is preferred by so much an octave.
_OCTAVE = 0.02
# Of the loudest step's power, or where `steady` of full scale; what is quieter is not a voice.
_QUIET, _SILENT = 1e-4, 1e-6
_FRAMES = 1024
_FINE = 16_000


def voicing(samples: Numbers, rate: int, *, hop: float = 0.010, steady: bool = False) -> Numbers:
    """(T, 2), steps as in `log_mel`: how periodic the sound is, v_t from 0 to 1, and v_t log_2(pitch / 200 Hz).

    v = max over periods of 1/500 to 1/60 s of r(period) / r_hann(period), r the autocorrelation of 40 ms under a Hann
    window, r(0) = 1 (Boersma 1993). A step 40 dB below the loudest has v = 0, or where `steady` one 60 dB below full
    scale, so that a step depends on its own window alone.
    """
    size, step = round(WINDOW * rate), round(hop * rate)
    # At a low rate the peak of a high voice lies between two samples.
    fine = max(1, -(-_FINE // rate))
    periods = np.arange(max(1, int(fine * rate / _HIGH)), min(fine * size, int(fine * rate / _LOW) + 1))
    hann = np.hanning(size)
    own = _autocorrelation(hann, fine)
    own = own[periods] / own[0]
    padded = np.pad(np.asarray(samples, dtype=np.float32), (size // 2, size // 2 + step))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step][: 1 + len(samples) // step]
    parts = []
    for start in range(0, len(frames), _FRAMES):  # as in log_mel, a clip of minutes must not take a gigabyte
        some = frames[start : start + _FRAMES]
        found = _autocorrelation((some - some.mean(1, keepdims=True)) * hann, fine)
        energy = found[:, 0]
        alike = found[:, periods] / np.maximum(energy, 1e-12)[:, None] / own
        best = (alike - _OCTAVE * np.log2(periods / periods[0])).argmax(1)
        parts.append((energy, alike[np.arange(len(best)), best], periods[best]))
    energy, alike, period = (np.concatenate(part) for part in zip(*parts, strict=True))
    # An autocorrelation at finer lags is smaller by as much.
    least = _SILENT * np.square(hann).sum() / fine if steady else _QUIET * energy.max()
    voiced = np.clip(alike, 0, 1) * (energy > least)
    return np.stack([voiced, voiced * np.log2(fine * rate / period / _MIDDLE)], 1).astype(np.float32)


def _autocorrelation(frames: Exact, fine: int) -> Exact:
    """Sums over x_t x_{t + lag} along the last axis, a column a lag of 1 / `fine` samples, but for a factor."""
    size = frames.shape[-1]
    points = 1 << (2 * size - 1).bit_length()
    spectrum = np.fft.rfft(frames, points)
    found: Exact = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, fine * points)[..., : fine * size]
    return found


def augment_voiced(features: Numbers, bands: int, rng: np.random.Generator, strength: float) -> Numbers:
    """`augment_features` of the first `bands` features but for their pitch, which may be what tells sounds apart.

    The others, `voicing`, keep to their time.
    """
    mel = augment_features(features[:, :bands], rng, strength, pitch=False)
    places = np.linspace(0, len(features) - 1, len(mel))
    return np.concatenate([mel, interpolated(features[:, bands:], places, 0)], 1)
