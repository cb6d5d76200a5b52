"""Recurrent layers as torch modules: any cell, drop-ins for torch's own, and what is built round them."""

from __future__ import annotations

from unrolled.engine import Tokens, segment_length
from unrolled.layers.accelerate import accelerate
from unrolled.layers.attention import ATTENTIONS, Attention, Memory
from unrolled.layers.captures import Captures
from unrolled.layers.explain import LayerExplanation, explain
from unrolled.layers.exploded import blame
from unrolled.layers.output import IGNORED, AdaptiveOutput, Output
from unrolled.layers.pooling import Pooling
from unrolled.layers.recurrent import Recurrent, Structure
from unrolled.layers.regularisation import Regularisation
from unrolled.layers.state import State, map_state, where_state
from unrolled.layers.truncated import TimeWindow, truncated
from unrolled.layers.unroll import Unrolled, unroll

__all__ = [
    "ATTENTIONS",
    "IGNORED",
    "AdaptiveOutput",
    "Attention",
    "Captures",
    "LayerExplanation",
    "Memory",
    "Output",
    "Pooling",
    "Recurrent",
    "Regularisation",
    "State",
    "Structure",
    "TimeWindow",
    "Tokens",
    "Unrolled",
    "accelerate",
    "blame",
    "explain",
    "map_state",
    "segment_length",
    "truncated",
    "unroll",
    "where_state",
]
