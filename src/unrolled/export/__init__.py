"""Networks and their weights in the forms of other libraries."""

from __future__ import annotations

from unrolled.export.to_onnx import onnx
from unrolled.export.weights.flax import from_flax, to_flax
from unrolled.export.weights.keras import from_keras, to_keras
from unrolled.export.weights.keras_file import from_keras_file
from unrolled.export.weights.onnx_model import from_onnx, to_onnx_weights
from unrolled.export.weights.onnx_node import run_onnx_node
from unrolled.export.weights.pytorch import from_torch, to_torch

__all__ = [
    "from_flax",
    "from_keras",
    "from_keras_file",
    "from_onnx",
    "from_torch",
    "onnx",
    "run_onnx_node",
    "to_flax",
    "to_keras",
    "to_onnx_weights",
    "to_torch",
]
