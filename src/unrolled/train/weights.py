"""A network's numbers: copied out, put back, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unrolled.errors import RunError


def named_weights(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers by name; tied ones once, under the first of their names."""
    saved = module.state_dict(keep_vars=True).keys()
    buffers = {name: buffer for name, buffer in module.named_buffers() if name in saved}
    return {**dict(module.named_parameters()), **buffers}


def snapshot(module: nn.Module, into: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """A copy that later steps do not change, in the memory of `into` where that is given."""
    weights = named_weights(module)
    if into is None:
        return {name: tensor.detach().clone() for name, tensor in weights.items()}
    for name, tensor in weights.items():
        into[name].copy_(tensor.detach())
    return into


def restore(module: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Puts a copy back into the same parameter objects; raises RunError where names or shapes differ."""
    copy_into(named_weights(module), saved)


def copy_into(weights: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Saved numbers into tensors that are there; raises RunError where names or shapes differ."""
    for name in sorted(weights.keys() | saved.keys()):
        if name not in weights or name not in saved or weights[name].shape != saved[name].shape:
            have = tuple(saved[name].shape) if name in saved else "missing"
            want = tuple(weights[name].shape) if name in weights else "none"
            raise RunError(
                f"weight {name} is {have} in the checkpoint and {want} in the network; "
                "resume with the options that the run was started with"
            )
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(saved[name])


class Average:
    """Exponential moving average a <- d a + (1 - d) w of the parameters, with d = min(decay, (1 + t) / (10 + t)).

    The smaller factor of the first steps t keeps the random start out of it.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self._parameters = [parameter.detach() for parameter in module.parameters()]
        self.tensors = {name: p.detach().clone() for name, p in module.named_parameters()}

    def update(self, step: int) -> None:
        """Takes in the weights after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), self._parameters, 1.0 - decay)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the average out of a checkpoint; raises RunError where names or shapes differ."""
        copy_into(self.tensors, tensors)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module holds the average inside the block and its own weights again afterwards."""
        own = {name: parameter.detach().clone() for name, parameter in self.module.named_parameters()}
        self._put(self.tensors)
        try:
            yield
        finally:
            self._put(own)

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.detach().copy_(tensors[name])
