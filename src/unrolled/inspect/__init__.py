"""Looking inside: what a network is, what it remembers, and how far back. Each name loads when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled.inspect.condition import Health, health
    from unrolled.inspect.figures import (
        attention_figure,
        attribution_figure,
        gradient_figure,
        horizon_figure,
        path_figure,
        spectrum_figure,
        surprise_figure,
        units_figure,
    )
    from unrolled.inspect.gradient import TimeGradient, gradient_through_time
    from unrolled.inspect.horizon import Horizon, compare_horizons, memory_horizon
    from unrolled.inspect.inspection import Depth, Inspection, Reading, depth_of, look_inside, read_one
    from unrolled.inspect.jacobian import Spectrum, spectrum, step_jacobians
    from unrolled.inspect.observer import GradientObserver
    from unrolled.inspect.patterns import exciting, following, matches, rank, state_pattern, text_patterns
    from unrolled.inspect.states import States, Trace, Unit, path, record
    from unrolled.inspect.subject import AttentionMap, Subject, subject_of
    from unrolled.inspect.verdict import Verdict, judge
    from unrolled.inspect.why import Attribution, Surprise, integrated_gradients, occlusion, surprise
    from unrolled.inspect.words import comparison, summary
    from unrolled.layers.probe import Passage, Place, every_step, watching

_NAMES = {
    "figures": (
        "attention_figure", "attribution_figure", "gradient_figure", "horizon_figure", "path_figure",
        "spectrum_figure", "surprise_figure", "units_figure",
    ),
    "gradient": ("TimeGradient", "gradient_through_time"),
    "condition": ("Health", "health"),
    "horizon": ("Horizon", "compare_horizons", "memory_horizon"),
    "inspection": ("Depth", "Inspection", "Reading", "depth_of", "look_inside", "read_one"),
    "jacobian": ("Spectrum", "spectrum", "step_jacobians"),
    "observer": ("GradientObserver",),
    "patterns": ("exciting", "following", "matches", "rank", "state_pattern", "text_patterns"),
    "states": ("States", "Trace", "Unit", "path", "record"),
    "subject": ("AttentionMap", "Subject", "subject_of"),
    "words": ("comparison", "summary"),
    "verdict": ("Verdict", "judge"),
    "why": ("Attribution", "Surprise", "integrated_gradients", "occlusion", "surprise"),
}  # fmt: skip
_HOME = {name: f"unrolled.inspect.{home}" for home, names in _NAMES.items() for name in names}
_HOME |= dict.fromkeys(("Passage", "Place", "every_step", "watching"), "unrolled.layers.probe")

__all__ = [
    "AttentionMap",
    "Attribution",
    "Depth",
    "GradientObserver",
    "Health",
    "Horizon",
    "Inspection",
    "Passage",
    "Place",
    "Reading",
    "Spectrum",
    "States",
    "Subject",
    "Surprise",
    "TimeGradient",
    "Trace",
    "Unit",
    "Verdict",
    "attention_figure",
    "attribution_figure",
    "compare_horizons",
    "comparison",
    "depth_of",
    "every_step",
    "exciting",
    "following",
    "gradient_figure",
    "gradient_through_time",
    "health",
    "horizon_figure",
    "integrated_gradients",
    "judge",
    "look_inside",
    "matches",
    "memory_horizon",
    "occlusion",
    "path",
    "path_figure",
    "rank",
    "read_one",
    "record",
    "spectrum",
    "spectrum_figure",
    "state_pattern",
    "step_jacobians",
    "subject_of",
    "summary",
    "surprise",
    "surprise_figure",
    "text_patterns",
    "units_figure",
    "watching",
]


def __getattr__(name: str) -> object:
    """Load the part that `name` lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'unrolled.inspect' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
