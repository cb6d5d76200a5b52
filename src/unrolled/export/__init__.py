"""Networks and their weights in the forms of other libraries."""

from __future__ import annotations

from unrolled.export.to_onnx import onnx
from unrolled.export.weights import from_flax, from_keras, from_torch, to_flax, to_keras, to_torch

__all__ = ["from_flax", "from_keras", "from_torch", "onnx", "to_flax", "to_keras", "to_torch"]
