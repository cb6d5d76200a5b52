"""What a curve of sizes against distance says in words: vanishing, exploding or healthy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unrolled.inspect.arrays import Floats, Ints, Shown

Kind = Literal["vanishing", "exploding", "healthy"]

# Less than this share of a gradient drowns in that of nearer steps; more than its inverse drowns them.
FLOOR = 0.01


@dataclass(frozen=True)
class Verdict(Shown):
    """`kind`, the distance `step` from which on it is so (None: healthy), the factor a step, and words."""

    kind: Kind
    step: int | None
    rate: float
    sentence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}" + (f" {self.advice}" if self.advice else "")


def judge(distances: Ints, sizes: Floats, *, gated: bool, first: float | None = None, floor: float = FLOOR) -> Verdict:
    """The verdict on sizes (D,) at ascending distances (D,), compared with `first`, by default the first of them.

    Exploding: somewhere more than 1 / `floor` of the first size. Vanishing: less than `floor` of it from some distance
    on to the end. Otherwise healthy.
    """
    finite = np.isfinite(sizes)
    if first is None:
        first = float(sizes[0]) if len(sizes) and finite[0] and sizes[0] > 0 else 1.0
    share = np.where(finite, sizes, np.inf) / first
    large, small = share > 1 / floor, share < floor
    last = int(distances[-1]) if len(distances) else 0
    if large.any():
        place = int(large.argmax())
        return _exploding(int(distances[place]), _factor(distances, share, place), floor)
    if len(small) and small[-1]:
        place = int(len(small) - (~small[::-1]).argmax()) if not small.all() else 0
        return _vanishing(int(distances[place]), _factor(distances, share, place), last, gated, floor)
    left = float(share[-1]) if len(share) else 1.0
    factor = _factor(distances, share, len(share) - 1)
    return Verdict(
        "healthy", None, factor, f"{last} steps back {left:.3g} of the gradient is left (a factor of {factor:.3f} "
        "a step).", "",
    )  # fmt: skip


def _factor(distances: Ints, share: Floats, place: int) -> float:
    """The geometric mean of the factors of the single steps up to a place."""
    if place < 1 or not math.isfinite(share[place]):
        return 1.0 if place < 1 else math.inf
    return float((share[place] / max(share[0], 1e-300)) ** (1 / (distances[place] - distances[0])))


def _exploding(step: int, factor: float, floor: float) -> Verdict:
    return Verdict(
        "exploding", step, factor,
        f"from {step} steps back on the gradient is more than {1 / floor:g} times as large as at the loss "
        f"(a factor of {factor:.3f} a step), so distant steps drown the near ones.",
        "Try clipping the gradient (--clip 1), smaller recurrent weights (an orthogonal start), a lower learning rate, "
        "or a gated cell.",
    )  # fmt: skip


def _vanishing(step: int, factor: float, last: int, gated: bool, floor: float) -> Verdict:
    if gated:
        advice = (
            f"If the answer needs what stands further back, try gates that start open for it (--chrono {max(last, 3)}),"
            " attention, or shorter sequences."
        )
    else:
        advice = "If the answer needs what stands further back, try a gated cell (--cell lstm or gru) or attention."
    return Verdict(
        "vanishing", step, factor,
        f"from {step} steps back on less than {floor:.0%} of the gradient is left (a factor of {factor:.3f} a step), "
        "so what stands there can hardly be learnt.",
        advice,
    )  # fmt: skip
