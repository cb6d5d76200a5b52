"""The libraries that `unrolled bench` compares, by name, in the order of its table."""

from __future__ import annotations

from unrolled.bench.contestants import compiled_step, engines, jax_scan, onnx_runtime, torch_layer
from unrolled.bench.contestants.library import Answer, Contestant, Library, Stepper

__all__ = ["LIBRARIES", "Answer", "Contestant", "Library", "Stepper"]

LIBRARIES = {
    "compiled": engines.library("compiled"),
    "native": engines.library("native"),
    "torch.nn": torch_layer.LIBRARY,
    "reference": engines.library("reference"),
    "torch.compile": compiled_step.LIBRARY,
    "jax": jax_scan.LIBRARY,
    "onnxruntime": onnx_runtime.LIBRARY,
}
