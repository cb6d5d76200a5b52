"""How a cell runs: the reference loop and torch's fused layers behind one `scan`."""

from __future__ import annotations

from unrolled.engine.output import IGNORED, block_rows, linear_cross_entropy
from unrolled.engine.plan import Capture, Plan
from unrolled.engine.scan import Explanation, choose, explain, ready_step, scan, step
from unrolled.engine.weights import Weights, draw_noise, initial_state

__all__ = [
    "IGNORED",
    "Capture",
    "Explanation",
    "Plan",
    "Weights",
    "block_rows",
    "choose",
    "draw_noise",
    "explain",
    "initial_state",
    "linear_cross_entropy",
    "ready_step",
    "scan",
    "step",
]
