"""From a model's scores to an answer: sampling, completing words, beam search. NumPy alone."""

from __future__ import annotations

from unrolled.decode.beam import Advance, BeamSearch, Hypothesis
from unrolled.decode.sampling import Sampling, log_softmax, softmax
from unrolled.decode.words import Kind, WordBeam, kind_of

__all__ = ["Advance", "BeamSearch", "Hypothesis", "Kind", "Sampling", "WordBeam", "kind_of", "log_softmax", "softmax"]
