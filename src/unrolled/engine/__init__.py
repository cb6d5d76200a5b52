"""How a cell runs: the reference loop and torch's fused layers behind one `scan`."""

from __future__ import annotations

from unrolled.engine.plan import Capture, Plan
from unrolled.engine.scan import Explanation, choose, explain, scan, step
from unrolled.engine.weights import Weights, draw_noise, initial_state

__all__ = [
    "Capture",
    "Explanation",
    "Plan",
    "Weights",
    "choose",
    "draw_noise",
    "explain",
    "initial_state",
    "scan",
    "step",
]
