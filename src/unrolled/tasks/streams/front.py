"""Convolutions over a stream: each layer keeps the inputs that later outputs still see."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.models.front import Convolutions
from unrolled.streams.saved import Kept


class FrontStream:
    """`Convolutions` part by part: (1, T, F) -> (1, T', C), every output as soon as all that it sees has come.

    A layer of kernel K looks (K - 1) / 2 steps ahead, so that many wait until `finish`.
    """

    def __init__(self, front: Convolutions) -> None:
        self.layers = [_Layer(*pair) for pair in zip(front.convolutions, front.norms, strict=True)]  # type: ignore[arg-type]  # a list of modules

    def push(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer.push(x)
        return x

    def finish(self) -> Tensor:
        """The outputs that waited."""
        x = self.layers[0].push(self.layers[0].zeros)
        for layer in self.layers[1:]:
            x = layer.push(torch.cat([x, layer.zeros], 1))
        return x

    def fork(self) -> FrontStream:
        """Another that goes on from here."""
        other = copy.copy(self)
        other.layers = [copy.copy(layer) for layer in self.layers]
        return other

    def save(self) -> Kept:
        return Kept.join(**{f"front{place}": layer.save() for place, layer in enumerate(self.layers)})

    def load(self, kept: Kept) -> None:
        for place, layer in enumerate(self.layers):
            layer.load(kept.within(f"front{place}"))


class _Layer:
    """One convolution: the inputs that outputs to come will see, and how many inputs none of them sees."""

    def __init__(self, convolution: nn.Conv1d, norm: nn.Module) -> None:
        self.convolution, self.norm = convolution, norm
        (self.kernel,), (self.stride,) = convolution.kernel_size, convolution.stride
        # Before its first step a layer sees zeros, and behind its last.
        self.zeros = convolution.weight.new_zeros(1, self.kernel // 2, convolution.in_channels)
        self.held = self.zeros
        self.passed = 0

    def push(self, x: Tensor) -> Tensor:
        over = min(self.passed, x.shape[1])
        self.passed -= over
        inputs = torch.cat([self.held, x[:, over:]], 1)
        count = max(0, (inputs.shape[1] - self.kernel) // self.stride + 1)
        used = count * self.stride
        self.held, self.passed = inputs[:, used:], self.passed + max(0, used - inputs.shape[1])
        if not count:
            return x.new_zeros(1, 0, self.convolution.out_channels)
        found = functional.conv1d(inputs.transpose(1, 2), self.convolution.weight, stride=self.stride)
        return functional.relu(self.norm(found[0].T))[None]

    def save(self) -> Kept:
        return Kept(held=self.held[0].float().cpu().numpy(), passed=self.passed)

    def load(self, kept: Kept) -> None:
        most = self.kernel + self.stride
        array = kept.array("held", (None, self.convolution.in_channels), most=most)
        self.held = torch.from_numpy(array.copy())[None].to(self.zeros)
        self.passed = kept.count("passed", most)
