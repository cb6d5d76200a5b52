"""Quantiles of Student's t, tabulated. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@lru_cache(1)
def student_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """1 / freedom (N,), ranks (R,), and the standard quantiles (N, R), by quadrature."""
    inverse = np.linspace(0.0, 0.5, 51)
    ranks = 1 / (1 + np.exp(-np.linspace(-7, 7, 281)))
    x = np.sinh(np.linspace(-8, 8, 20_001))
    table = np.empty((len(inverse), len(ranks)))
    for row, share in enumerate(inverse):
        logs = -0.5 * x**2 if share == 0 else -0.5 * (1 / share + 1) * np.log1p(share * x**2)
        areas = np.cumsum(np.diff(x) * (np.exp(logs[1:]) + np.exp(logs[:-1])) / 2)
        table[row] = np.interp(ranks, np.concatenate([[0.0], areas]) / areas[-1], x)
    return inverse, ranks, table


def student_columns(levels: Sequence[float]) -> npt.NDArray[np.float64]:
    """Standard quantiles (N, L) at these levels; row n is that of 1 / freedom = n / (2 (N - 1))."""
    _, ranks, table = student_table()
    found = [np.interp(levels, ranks, row) for row in table]
    return np.stack(found)
