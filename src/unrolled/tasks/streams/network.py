"""Recurrent layers of torch under a stream: one step at a time through the compiled kernel."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from unrolled.data.arrays import Numbers
from unrolled.layers import Recurrent, State
from unrolled.layers.bound import BoundStep
from unrolled.models.front import Convolutions
from unrolled.streams.front import ConvolutionStream, FrontStream
from unrolled.streams.network import kept_state, loaded_state
from unrolled.streams.saved import Kept


class TorchLayers:
    """Recurrent layers, then `outputs` (T, H) -> (T, O) where there are any."""

    def __init__(self, recurrent: Recurrent, outputs: Callable[[Tensor], Tensor] | None = None) -> None:
        self.recurrent = recurrent
        self.outputs = outputs
        self.state = recurrent.initial_state(1)
        self.bound: BoundStep | None = None

    @torch.no_grad()
    def __call__(self, x: Numbers) -> Numbers:
        steps = torch.from_numpy(x).to(self.state[0][0][0])
        if len(steps) == 1:
            y = self._step(steps)
        else:
            outputs, self.state = self.recurrent(steps[None], self.state)
            y = outputs[0]
        return as_numbers(y if self.outputs is None else self.outputs(y))

    def _step(self, x: Tensor) -> Tensor:
        """One step: x (1, F) -> (1, O)."""
        bound = self.bound
        if bound is not None and bound.ready:
            y, self.state = bound(x, self.state)
            return y
        y, self.state = self.recurrent.step(x, self.state)
        self.bound = self.recurrent.bound_step(x, self.state)
        return y

    def fork(self) -> Self:
        # States are never written in place, so both may go on from the same tensors.
        return copy.copy(self)

    def save(self) -> Kept:
        return kept_state(as_arrays(self.state))

    def load(self, kept: Kept) -> None:
        self.state = as_state(self.state, kept)


def as_numbers(found: Tensor) -> Numbers:
    """As the streams read it; NumPy has no bfloat16."""
    numbers: Numbers = found.detach().float().cpu().numpy()
    return numbers


def as_arrays(state: State) -> list[dict[str, Numbers]]:
    """The state of one row, by layer and name."""
    return [{name: as_numbers(value[0]) for name, value in layer[0]._asdict().items()} for layer in state]


def as_state(like: State, kept: Kept) -> State:
    """A saved state of one row where `like` lies; raises ArgumentError where it does not fit."""
    layers: list[tuple[Any, ...]] = []
    for layer, found in zip(like, loaded_state(as_arrays(like), kept), strict=True):
        values = [torch.from_numpy(found[name].copy())[None].to(value) for name, value in layer[0]._asdict().items()]
        layers.append((type(layer[0])(*values),))
    return tuple(layers)


def front_stream(front: Convolutions) -> FrontStream:
    """`Convolutions` part by part."""
    return FrontStream([_layer(*pair) for pair in zip(front.convolutions, front.norms, strict=True)])  # type: ignore[arg-type]  # a list of modules


def _layer(convolution: nn.Conv1d, norm: nn.Module) -> ConvolutionStream:
    (kernel,), (stride,), weight = convolution.kernel_size, convolution.stride, convolution.weight

    @torch.no_grad()
    def run(x: Numbers) -> Numbers:
        found = functional.conv1d(torch.from_numpy(x).to(weight).T[None], weight, stride=stride)
        return as_numbers(functional.relu(norm(found[0].T)))

    return ConvolutionStream(kernel, stride, convolution.in_channels, convolution.out_channels, run)
