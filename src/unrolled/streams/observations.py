"""Observations of a series as they come: checked, the last of them kept, and what their columns come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled.data.arrays import Exact, Ids
from unrolled.data.problems import listed
from unrolled.data.windows import LineScale
from unrolled.errors import ArgumentError
from unrolled.streams.numbers import exact_rows
from unrolled.streams.saved import Kept, damaged

# Steps ahead that are kept; memory must stay bounded whatever comes.
MOST_AHEAD = 65_536


class ObservationInput:
    """Rows (N, W) of new observations: targets, columns of the past, columns that are known ahead.

    None and NaN are not known, but in the last. Where there are columns known ahead, {"rows": rows, "ahead": ahead}
    says with `ahead` (M, Q) what these are in the steps after the rows; else those of earlier parts are used up, or
    of `ahead`, which begins at the first row. A part after which fewer than `horizon` steps are known is refused.
    """

    def __init__(self, width: int, known: tuple[str, ...] = (), horizon: int = 0, ahead: Any = None) -> None:
        self.width, self.known, self.horizon = width, known, horizon
        if ahead is not None and not known:
            raise ArgumentError("ahead was given, and this run has no columns that are known ahead; leave it out")
        self.given = ahead is not None
        self.ahead: Exact = self._checked([] if ahead is None else ahead, "ahead")[:MOST_AHEAD]

    def push(self, part: Any) -> Exact:
        if not self.known:
            return exact_rows(part, self.width, missing=True)
        said = part if isinstance(part, Mapping) else {"rows": part}
        if not {"rows"} <= set(said) <= {"rows", "ahead"}:
            raise ArgumentError(f"a part has the keys {listed(list(said))}; give rows, and ahead where it is known")
        rows = exact_rows(said["rows"], self.width, missing=True)
        self._checked(rows[:, -len(self.known) :], ", ".join(self.known))
        ahead = self.ahead[len(rows) :] if said.get("ahead") is None else self._checked(said["ahead"], "ahead")
        if len(ahead) < self.horizon:
            raise ArgumentError(
                f"this run needs {', '.join(self.known)} of the {self.horizon} steps after a part, and {len(ahead)} "
                'are known; give {"rows": ..., "ahead": ...} with so many rows ahead'
            )
        self.ahead = ahead[:MOST_AHEAD].copy()
        return rows

    def finish(self) -> Exact:
        return np.zeros((0, self.width))

    def save(self) -> Kept:
        return Kept(ahead=self.ahead) if self.known else Kept()

    def load(self, kept: Kept) -> None:
        if self.known and not self.given:
            self.ahead = kept.array("ahead", (None, len(self.known)), np.float64, most=MOST_AHEAD)

    def _checked(self, rows: Any, what: str) -> Exact:
        """The columns that are known ahead, (N, Q), every one of them known."""
        try:
            return exact_rows(rows, len(self.known)) if self.known else np.zeros((0, 0))
        except ArgumentError as error:
            raise ArgumentError(f"{what}: {error}") from None


class Recent:
    """The last rows (n, W), and of each column what lies before: its last known value and how far back that is."""

    def __init__(self, width: int, most: int) -> None:
        self.most = most
        self.rows: Exact = np.zeros((0, width))
        self.before: Exact = np.full(width, np.nan)
        self.back: Ids = np.zeros(width, np.int64)

    def take(self, rows: Exact) -> None:
        """The next rows."""
        whole = np.concatenate([self.rows, rows])
        old, self.rows = whole[: -self.most], whole[-self.most :].copy()
        known = ~np.isnan(old)
        last = len(old) - 1 - known[::-1].argmax(0) if len(old) else self.back
        some = known.any(0)
        self.back = np.where(some, len(old) - last, self.back + len(old))
        if len(old):
            self.before = np.where(some, old[np.minimum(last, len(old) - 1), np.arange(old.shape[1])], self.before)

    def bridged(self) -> Exact:
        """The rows with each unknown value on the straight line between its neighbours; 0 where none is known."""
        found = self.rows.copy()
        for column, before, back in zip(found.T, self.before, self.back.tolist(), strict=True):
            places = np.flatnonzero(~np.isnan(column))
            values = column[places]
            if not np.isnan(before):
                places, values = np.concatenate([[-back], places]), np.concatenate([[before], values])
            missing = np.flatnonzero(np.isnan(column))
            column[missing] = np.interp(missing, places, values) if len(places) else 0.0
        return found

    def save(self) -> Kept:
        return Kept(rows=self.rows, before=self.before, back=self.back)

    def load(self, kept: Kept) -> None:
        width = len(self.before)
        self.rows = kept.array("rows", (None, width), np.float64, most=self.most)
        self.before = kept.array("before", (width,), np.float64)
        self.back = kept.array("back", (width,), np.int64)
        if np.isinf(self.rows).any() or np.isinf(self.before).any() or (self.back < 0).any():
            raise damaged("its rows are not finite")


class Moments:
    """Mean, deviation and extremes of columns as rows come, NaN left out (Welford 1962); see `LineScale.fit`."""

    def __init__(self, width: int) -> None:
        # Rows: how many, mean, sum of squared deviations, least, largest in size.
        self.table: Exact = np.zeros((5, width))
        self.table[3] = np.inf

    def take(self, rows: Exact) -> None:
        """The next rows (N, W)."""
        known = ~np.isnan(rows)
        count = known.sum(0)
        mean = np.where(known, rows, 0).sum(0) / np.maximum(count, 1)
        squares = (np.where(known, rows - mean, 0) ** 2).sum(0)
        seen, old, spread, least, size = self.table
        total = np.maximum(seen + count, 1)
        apart = mean - old
        self.table = np.stack(
            [
                seen + count,
                old + apart * count / total,
                spread + squares + apart**2 * seen * count / total,
                np.minimum(least, np.where(known, rows, np.inf).min(0, initial=np.inf)),
                np.maximum(size, np.where(known, np.abs(rows), 0).max(0, initial=0)),
            ]
        )

    def scale(self, place: int, *, counts: bool) -> LineScale:
        """What a column's values so far come to."""
        count, mean, squares, least, size = self.table[:, place].tolist()
        bound = 0.0 if least >= 0 else -np.inf
        if counts:
            return LineScale(0.0, mean if mean > 0 else 1.0, 0.0, 0.0)
        spread = float(np.sqrt(squares / max(count, 1)))
        flat = spread <= 1e-12 * max(size, float(np.finfo(np.float64).tiny))
        return LineScale(mean, 1.0 if flat else spread, 0.0, bound)
