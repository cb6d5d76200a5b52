"""Torchvision does not import beside this torch, so a module of its shape stands in for it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.models.backbone import Backbone


class Residual(nn.Module):
    """As torchvision's ResNet: parts in a row, then pooling and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 2, 1)
        self.layer1 = nn.Sequential(nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1), nn.BatchNorm2d(5))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(5, 10)


class Stacked(nn.Module):
    """As torchvision's VGG, whose convolutions are one part."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 5, 4, 2), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(nn.Linear(4 * 49, 10))


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.head = nn.Linear(3, 3)


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    kinds = {"resnet": Residual, "vgg": Stacked, "flat": Flat}
    asked: dict[str, Any] = {}

    def get_model(name: str, weights: str) -> nn.Module:
        asked[name] = weights
        return kinds[name]()

    package, models = ModuleType("torchvision"), ModuleType("torchvision.models")
    models.get_model = get_model  # type: ignore[attr-defined]
    models.list_models = lambda: list(kinds)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    return asked


@pytest.mark.parametrize(("name", "shape"), [("resnet", (2, 24, 5)), ("vgg", (2, 24, 4))])
def test_regions_are_the_last_map_before_the_pooling(
    torchvision: dict[str, Any], name: str, shape: tuple[int, ...]
) -> None:
    backbone = Backbone(name).train()
    images = torch.rand(2, 3, 16, 24)
    regions = backbone(images)
    assert regions.shape == shape
    assert torchvision == {name: "DEFAULT"}
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    whole = backbone.trunk((images - backbone.mean) / backbone.deviation)
    torch.testing.assert_close(regions[:, 7], whole[:, :, 1, 1])


def test_statistics_stay_as_they_were_trained(torchvision: dict[str, Any]) -> None:
    backbone = Backbone("resnet").train()
    images = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(backbone(images)[:1], backbone(images[:1]))


def test_refusals(torchvision: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="encoder 'alexnet' is not known to torchvision; choose own or one of its"):
        Backbone("alexnet")
    with pytest.raises(ArgumentError, match="instead of a grid of regions"):
        Backbone("flat")(torch.rand(1, 3, 4, 4))
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ArgumentError, match="encoder 'resnet' needs torchvision, which cannot be imported"):
        Backbone("resnet")
