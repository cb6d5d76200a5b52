"""A trained run without torch: NumPy, the compiled kernels and safetensors.

from unrolled import runtime

model = runtime.load("runs/classify-001")
model.predict(["a text"])
stream = model.stream()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled.runtime.loading import load
    from unrolled.runtime.model import Model

_HOME = {"Model": "unrolled.runtime.model", "load": "unrolled.runtime.loading"}

__all__ = ["Model", "load"]


def __getattr__(name: str) -> object:
    """Load the part that `name` lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'unrolled.runtime' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
