"""A trained run without torch: NumPy, the compiled kernels and safetensors.

from unrolled import runtime

model = runtime.load("runs/classify-001")
model.predict(["a text"])
stream = model.stream()
"""

from __future__ import annotations

from unrolled.runtime.loading import load
from unrolled.runtime.model import Model

__all__ = ["Model", "load"]
