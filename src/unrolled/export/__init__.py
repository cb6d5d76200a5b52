"""Networks and their weights in the forms of other libraries."""

from __future__ import annotations

from unrolled.export.weights import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
