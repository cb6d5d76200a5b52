"""What is done to a series before a network reads it: missing values filled, another one of the same kind made."""

from __future__ import annotations

import numpy as np

from unrolled.data.arrays import Numbers, interpolated


def fill_missing(sequence: Numbers, *, marks: bool = False) -> Numbers:
    """A standardised sequence (T, F) in which NaN is the last value before it, or 0, the mean, where there is none.

    With `marks` (T, 2 F): the values, then 1 where each is known and 0 where it is not (Che et al. 2018).
    """
    known = ~np.isnan(sequence)
    if known.all():
        filled = sequence
    else:
        last = np.maximum.accumulate(np.where(known, np.arange(len(sequence))[:, None], -1), axis=0)
        filled = np.where(last < 0, 0, np.take_along_axis(sequence, np.maximum(last, 0), 0)).astype(np.float32)
    return np.concatenate([filled, known.astype(np.float32)], 1) if marks else filled


def augment_series(sequence: Numbers, rng: np.random.Generator, strength: float, values: int) -> Numbers:
    """Another (T', F) of the same kind: faster or slower by up to 10 %, unevenly so, larger or smaller, shifted.

    The first `values` features are scaled by 1 + 0.1 N and shifted by 0.05 N each, N normal, times `strength`, in units
    of the training part's deviation (Um et al. 2017: scaling, time warping).
    """
    steps = len(sequence)
    length = max(1, round(steps * (1 + strength * rng.uniform(-0.1, 0.1))))
    bend = strength * 0.03 * steps * rng.normal() * np.sin(np.linspace(0, np.pi * rng.integers(1, 4), length))
    # Bent further than this, time would run backwards.
    bend = np.clip(bend, -0.2 * steps, 0.2 * steps)
    found = interpolated(sequence, np.linspace(0, steps - 1, length) + bend, 0)
    found[:, :values] *= np.float32(1 + strength * 0.1 * rng.normal())
    found[:, :values] += (strength * 0.05 * rng.normal(size=values)).astype(np.float32)
    return found
