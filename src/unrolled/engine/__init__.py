"""How a cell runs: the reference loop, torch's fused layers and compiled kernels behind one `scan`.

The public names load torch when the first of them is used; `engine.cpu` compiles and calls kernels without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled.engine.output import IGNORED, block_rows, linear_cross_entropy
    from unrolled.engine.packed import Packed, packed_bernoulli, part_of
    from unrolled.engine.plan import Capture, Plan
    from unrolled.engine.scan import Explanation, choose, explain, ready_step, scan, step
    from unrolled.engine.segments import MEMORIES, Job, in_segments, segment_length
    from unrolled.engine.tokens import Tokens
    from unrolled.engine.weights import Weights, draw_noise, initial_state

_HOME = {
    "IGNORED": "output",
    "MEMORIES": "segments",
    "Capture": "plan",
    "Explanation": "scan",
    "Job": "segments",
    "Packed": "packed",
    "Plan": "plan",
    "Tokens": "tokens",
    "Weights": "weights",
    "block_rows": "output",
    "choose": "scan",
    "draw_noise": "weights",
    "explain": "scan",
    "in_segments": "segments",
    "initial_state": "weights",
    "linear_cross_entropy": "output",
    "packed_bernoulli": "packed",
    "part_of": "packed",
    "ready_step": "scan",
    "scan": "scan",
    "segment_length": "segments",
    "step": "scan",
}

__all__ = [
    "IGNORED",
    "MEMORIES",
    "Capture",
    "Explanation",
    "Job",
    "Packed",
    "Plan",
    "Tokens",
    "Weights",
    "block_rows",
    "choose",
    "draw_noise",
    "explain",
    "in_segments",
    "initial_state",
    "linear_cross_entropy",
    "packed_bernoulli",
    "part_of",
    "ready_step",
    "scan",
    "segment_length",
    "step",
]


def __getattr__(name: str) -> object:
    """Load all public names when the first is used (PEP 562).

    All at once, because the module `scan` would else stay in the place of the function.
    """
    if name not in _HOME:
        raise AttributeError(f"module 'unrolled.engine' has no attribute {name!r}")
    found = {public: getattr(import_module(f"unrolled.engine.{home}"), public) for public, home in _HOME.items()}
    globals().update(found)
    return found[name]
