"""Weights of other libraries into `Recurrent` and back: torch, Keras, Flax, ONNX."""

from __future__ import annotations

from unrolled.export.weights.pytorch import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
