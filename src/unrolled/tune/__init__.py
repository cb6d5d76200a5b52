"""Search for hyper-parameters: what may vary, the study that processes share, its trials, each a run.

Nothing here loads torch or Optuna before a search begins.
"""

from __future__ import annotations

from unrolled.tune.options import TuneCommon
from unrolled.tune.space import Choice, Dimension, Range, default_space, parse_space

__all__ = ["Choice", "Dimension", "Range", "TuneCommon", "default_space", "parse_space"]
