"""Pretrained convolutional networks of torchvision as readers of pictures, where torchvision is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError

# What torchvision's networks were trained on: mean and deviation of red, green and blue.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Pictures (B, 3, H, W) in [0, 1] -> regions (B, R, C): a torchvision classifier up to its pooling, frozen.

    Its pretrained weights are fetched by torchvision at first use. Raises ArgumentError where torchvision cannot be
    imported, does not know the name, or the network makes no grid of regions.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        whole = _pretrained(name)
        parts = []
        for part in whole.children():
            if isinstance(part, nn.AdaptiveAvgPool2d | nn.Linear):
                break
            parts.append(part)
        self.name = name
        self.trunk = nn.Sequential(*parts).requires_grad_(False)
        for entry, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(entry, torch.tensor(values)[:, None, None])

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        # A module that holds this one may be in training mode, where the statistics would be the batch's.
        found = self.trunk.eval()((images - self.mean) / self.deviation)
        if found.dim() != 4:
            raise ArgumentError(
                f"encoder {self.name!r} gives {tuple(found.shape)} instead of a grid of regions (B, C, h, w); "
                "choose a convolutional network such as resnet18"
            )
        regions: Tensor = found.flatten(2).transpose(1, 2)
        return regions


def _pretrained(name: str) -> nn.Module:
    try:
        models: Any = import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # built for another torch, it fails with a RuntimeError
        raise ArgumentError(
            f"encoder {name!r} needs torchvision, which cannot be imported ({' '.join(str(error).split())}); "
            "install the one that belongs to this torch, or leave encoder out"
        ) from None
    if name not in models.list_models():
        some = ", ".join(models.list_models()[:12])
        raise ArgumentError(f"encoder {name!r} is not known to torchvision; choose own or one of its: {some}, ...")
    network: nn.Module = models.get_model(name, weights="DEFAULT")
    return network
