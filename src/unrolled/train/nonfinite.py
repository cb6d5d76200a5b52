"""Where the first number that is not finite came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Looks inside a network: from the module, the same forward pass again, and whether the way back is to be looked at, to
# words for the gate, the layer and the step; None where these are finite.
Blame = Callable[[nn.Module, Callable[[], Tensor], bool], str | None]


def locate(
    module: nn.Module, batch: Any, again: Callable[[], Tensor], blame: Blame | None, *, finite_loss: bool
) -> str:
    """Words for the place: a weight, the batch, a gate at a step, a layer's output, a gradient."""
    for name, parameter in module.named_parameters():
        if not _finite(parameter):
            return f"weight {name} is not finite"
    if not all(_finite(part) for part in _arrays(batch)):
        return "the batch itself holds numbers that are not finite"
    inside = None if blame is None else blame(module, again, finite_loss)
    if finite_loss:
        return inside or _first_gradient(module)
    layer = _first_layer(module, again)
    if layer is not None:
        return inside or f"the output of {layer} is the first that is not finite"
    return "all layers are finite, so it arises in the loss itself"


def _first_gradient(module: nn.Module) -> str:
    # The way back begins at the last layers.
    for name, parameter in reversed(list(module.named_parameters())):
        if parameter.grad is not None and not _finite(parameter.grad):
            return f"the gradient of {name} is the first on the way back that is not finite"
    return "all gradients are finite, but the sum of their squares is not"


def _first_layer(module: nn.Module, again: Callable[[], object]) -> str | None:
    """Name and class of the first submodule, in order of completion, with an output that is not finite."""
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, _: Any, output: Any) -> None:
            if not all(_finite(part) for part in _arrays(output)):
                found.append(f"layer {name} ({type(layer).__name__})" if name else "the network")

        return hook

    handles = [layer.register_forward_hook(look(name)) for name, layer in module.named_modules()]
    try:
        with torch.no_grad():
            again()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _arrays(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Tensor | np.ndarray):
        yield tree
    elif isinstance(tree, tuple | list):
        for child in tree:
            yield from _arrays(child)
    elif isinstance(tree, dict):
        yield from _arrays(list(tree.values()))
    elif hasattr(tree, "__dict__"):
        yield from _arrays(list(vars(tree).values()))


def _finite(array: Any) -> bool:
    if isinstance(array, Tensor):
        return bool(torch.isfinite(array).all())
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
