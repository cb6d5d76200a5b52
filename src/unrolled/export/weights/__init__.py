"""Weights of other libraries into `Recurrent` and back: torch, Keras, Flax, ONNX."""

from __future__ import annotations

from unrolled.export.weights.flax import from_flax, to_flax
from unrolled.export.weights.keras import from_keras, to_keras
from unrolled.export.weights.pytorch import from_torch, to_torch

__all__ = ["from_flax", "from_keras", "from_torch", "to_flax", "to_keras", "to_torch"]
