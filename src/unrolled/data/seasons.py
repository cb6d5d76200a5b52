"""The season of series without time stamps, by their autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrolled.data.arrays import Exact

_LINES = 200
_LONGEST = 400
_CLEAR = 0.3


def find_seasons(lines: Sequence[Exact]) -> tuple[int, ...]:
    """Steps of the shortest season of lines (T,) that stands out, and of a longer one above it; empty for none.

    The mean over lines of the autocorrelation of what a straight line leaves, where it has a peak of at least 0.3.
    """
    chosen = [line for line in lines[:: max(1, len(lines) // _LINES)] if len(line) >= 12]
    if not chosen:
        return ()
    longest = min(_LONGEST, max(len(line) for line in chosen) // 3)
    curves = [curve for line in chosen if (curve := _autocorrelation(line, longest)) is not None]
    if not curves or longest < 3:
        return ()
    r = np.nanmean(np.stack(curves), 0)
    peaks = [lag for lag in range(2, longest) if r[lag] >= _CLEAR and r[lag] == r[max(1, lag - 2) : lag + 3].max()]
    # A peak that the slow decline from lag 0 makes has no valley before it.
    peaks = [lag for lag in peaks if r[lag] - r[1:lag].min() > 0.1]
    if not peaks:
        return ()
    most = max(r[lag] for lag in peaks)
    first = next(lag for lag in peaks if r[lag] >= 0.6 * most)
    # Of the multiples of a season one is higher than those beside it only where there is a longer season too.
    margin = max(0.02, 2 / sum(map(len, chosen)) ** 0.5)
    longer = [
        lag
        for lag in range(2 * first, longest - first, first)
        if r[lag] > max(r[lag - first], r[lag + first]) + margin or (lag == 2 * first and r[lag] > r[first] + margin)
    ]
    longer = [lag for lag in longer if r[lag] >= _CLEAR]
    return (first, max(longer, key=lambda lag: r[lag])) if longer else (first,)


def _autocorrelation(line: Exact, longest: int) -> Exact | None:
    """r_0 ... r_longest, NaN past a third of the line; None for a line that only is straight."""
    places = np.arange(len(line), dtype=np.float64)
    known = ~np.isnan(line)
    if known.sum() < 12:
        return None
    slope, height = np.polyfit(places[known], line[known], 1)
    rest = np.where(known, line - slope * places - height, 0.0)
    energy = float(rest @ rest)
    if energy <= 1e-12 * max(float(np.nansum(line**2)), np.finfo(np.float64).tiny):
        return None
    size = 1 << (2 * len(rest) - 1).bit_length()
    found = np.fft.irfft(np.abs(np.fft.rfft(rest, size)) ** 2)[: longest + 1] / energy
    # The unbiased estimate: sums of fewer pairs are smaller by that alone.
    found = found * len(rest) / (len(rest) - np.arange(len(found)))
    padded = np.full(longest + 1, np.nan)
    fair = min(len(found), len(rest) // 3 + 1)
    padded[:fair] = found[:fair]
    return padded
