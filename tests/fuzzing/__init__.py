"""Damaged files for every reader: whatever the bytes, they are read, or refused in one sentence, soon.

`python -m fuzzing --seconds 600` (in tests/; `make fuzz`) searches with hypothesis and, where it is installed, with
atheris; the tests run a little of the same, and everything that a search has found so far.
"""

from __future__ import annotations

from fuzzing.law import Broken, check
from fuzzing.targets import TARGETS, Target

__all__ = ["TARGETS", "Broken", "Target", "check"]
