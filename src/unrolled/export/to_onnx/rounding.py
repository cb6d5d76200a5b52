"""Weights as int8: every row of a matrix in steps of its own, the largest entry being 127 of them."""

from __future__ import annotations

import torch
from torch import nn

from unrolled.export.to_onnx.graph import row_scales


def in_evaluation(module: nn.Module) -> None:
    """Make a module what is exported: float32 on the CPU, without dropout."""
    module.to("cpu", torch.float32).eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def round_weights(module: nn.Module) -> None:
    """Replace every matrix by what is left of it as int8, so that this network answers as the int8 file does."""
    for parameter in module.parameters():
        if parameter.dim() >= 2 and parameter.numel():
            rows = parameter.reshape(len(parameter), -1)
            scale = torch.from_numpy(row_scales(rows.numpy()))[:, None]
            parameter.copy_((rows / scale).round().mul(scale).reshape(parameter.shape))
