"""Features brought to mean 0 and standard deviation 1, as learnt on the training part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Exact, Numbers
from unrolled.errors import ArgumentError, DataError


class Scaler:
    """x' = (x - mean) / scale for each feature; a feature that never changes has the scale 1.

    `mean` and `scale` are `(F,)` float64; `transform` and `inverse` take `(..., F)` and give float32.
    """

    def __init__(self, mean: Exact, scale: Exact) -> None:
        self.mean = mean
        self.scale = scale

    @classmethod
    def fit(cls, sequences: Sequence[npt.NDArray[np.floating]]) -> Scaler:
        """Learn from all steps of sequences `(T, F)`; targets `(N, K)` are one such sequence, `[targets]`.

        NaN, which stands for a missing value, is left out.
        """
        if not any(len(sequence) for sequence in sequences):
            raise ArgumentError("there is no step to learn a scale from; give at least one sequence that is not empty")
        steps = np.concatenate(sequences).astype(np.float64)
        if np.isnan(steps).any():
            found = [cls._of_column(column[~np.isnan(column)]) for column in steps.T]
            return cls(*(np.array(part) for part in zip(*found, strict=True)))
        return cls(*cls._of_steps(steps))

    @classmethod
    def _of_column(cls, known: Exact) -> tuple[float, float]:
        """Mean and scale of one feature's known values; of none, those that change nothing."""
        if not known.size:
            return 0.0, 1.0
        mean, scale = cls._of_steps(known[:, None])
        return float(mean[0]), float(scale[0])

    @staticmethod
    def _of_steps(steps: Exact) -> tuple[Exact, Exact]:
        spread = steps.std(0)
        # A constant column may miss zero by rounding alone.
        changes = spread > 1e-12 * np.maximum(np.abs(steps).max(0), np.finfo(np.float64).tiny)
        return steps.mean(0), np.where(changes, spread, 1.0)

    def transform(self, values: npt.NDArray[np.floating]) -> Numbers:
        """(x - mean) / scale."""
        return ((self._checked(values) - self.mean) / self.scale).astype(np.float32)

    def inverse(self, values: npt.NDArray[np.floating]) -> Numbers:
        """Values as they were: x = x' * scale + mean."""
        return (self._checked(values) * self.scale + self.mean).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal scaler, to the last bit."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, data: object, path: str | Path | None = None) -> Scaler:
        """The scaler whose `to_json` this is; DataError for anything else."""
        mean, scale = (_numbers(data, name) for name in ("mean", "scale"))
        if mean is None or scale is None or len(mean) != len(scale) or not (scale > 0).all():
            raise DataError(
                "a scaler needs 'mean' and 'scale', equally long lists of finite numbers with every scale above 0; "
                "restore the file",
                path,
            )
        return cls(mean, scale)

    def _checked(self, values: npt.NDArray[np.floating]) -> Exact:
        if values.shape[-1:] != self.mean.shape:
            raise ArgumentError(f"values of shape {values.shape} where the last axis must be {len(self.mean)} features")
        return values.astype(np.float64)


def _numbers(data: object, name: str) -> Exact | None:
    values = data.get(name) if isinstance(data, dict) else None
    if not isinstance(values, list) or not values:
        return None
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    return array if np.isfinite(array).all() else None
