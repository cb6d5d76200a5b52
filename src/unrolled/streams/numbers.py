"""Rows of numbers that are still arriving: checked, scaled, with what is missing filled in."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrolled.data import Scaler
from unrolled.data.arrays import Exact, Numbers
from unrolled.errors import ArgumentError
from unrolled.streams.saved import Kept

_LARGEST = float(np.finfo(np.float32).max)


def as_rows(part: Any, width: int, *, missing: bool = False) -> Numbers:
    """A part as rows (N, F) in float32; see `exact_rows`."""
    return exact_rows(part, width, missing=missing).astype(np.float32)


def exact_rows(part: Any, width: int, *, missing: bool = False) -> Exact:
    """A part as rows (N, F); a single row may be given as (F,), rows of one number as (N,) and one such as a number.

    With `missing`, None and NaN are values that are not known. Raises ArgumentError for what is no number, for what
    float32 cannot hold and for another width.
    """
    try:
        found = np.asarray(part, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"a part is no array of numbers; give rows of {width} numbers (N, {width})") from None
    if found.ndim < 2 and (width == 1 or not found.size):
        found = found.reshape(-1, width)
    elif found.ndim == 1:
        found = found[None]
    if found.ndim != 2 or found.shape[1] != width:
        raise ArgumentError(f"a part has the shape {found.shape}, and this stream reads rows (N, {width}); give those")
    usable = np.abs(found) <= _LARGEST
    if missing:
        usable |= np.isnan(found)
    if not usable.all():
        row, place = np.argwhere(~usable)[0].tolist()
        value = found[row, place]
        raise ArgumentError(f"number {place + 1} of row {row + 1} of the part is {value:g}; give a finite one")
    return found


class SeriesInput:
    """Rows brought to mean 0 and deviation 1; a missing number is the last one before it, with `marks` beside it."""

    def __init__(self, scaler: Scaler, *, missing: bool, marks: bool) -> None:
        self.scaler = scaler
        self.missing = missing
        self.marks = marks
        self.last: Numbers = np.zeros(len(scaler.mean), np.float32)

    def push(self, part: Any) -> Numbers:
        rows = self.scaler.transform(as_rows(part, len(self.scaler.mean), missing=self.missing))
        known = ~np.isnan(rows)
        if not known.all():
            whole = np.concatenate([self.last[None], rows])
            places = np.maximum.accumulate(np.where(np.isnan(whole), 0, np.arange(len(whole))[:, None]), axis=0)
            rows = np.take_along_axis(whole, places, 0)[1:]
        if len(rows):
            self.last = rows[-1].copy()
        return np.concatenate([rows, known.astype(np.float32)], 1) if self.marks else rows

    def finish(self) -> Numbers:
        width = len(self.last)
        return np.zeros((0, 2 * width if self.marks else width), np.float32)

    def save(self) -> Kept:
        return Kept(last=self.last)

    def load(self, kept: Kept) -> None:
        self.last = kept.array("last", self.last.shape)


class RowsInput:
    """Rows brought to mean 0 and deviation 1, with the change of the first `levels` numbers since the row before."""

    def __init__(self, scaler: Scaler, differences: Scaler | None, levels: int) -> None:
        self.scaler = scaler
        self.differences = differences
        self.levels = levels
        self.last: Numbers = np.zeros((0, levels), np.float32)
        """The levels of the row before, (1, levels); none before the first."""

    def push(self, part: Any) -> Numbers:
        rows = self.scaler.transform(as_rows(part, len(self.scaler.mean)))
        if self.differences is None or not len(rows):
            return rows
        levels = rows[:, : self.levels]
        changes = np.diff(levels, axis=0, prepend=self.last if len(self.last) else levels[:1])
        self.last = levels[-1:].copy()
        return np.concatenate([rows, self.differences.transform(changes)], 1)

    def finish(self) -> Numbers:
        width = len(self.scaler.mean) + (0 if self.differences is None else self.levels)
        return np.zeros((0, width), np.float32)

    def save(self) -> Kept:
        return Kept(last=self.last)

    def load(self, kept: Kept) -> None:
        self.last = kept.array("last", (None, self.levels), most=1)
