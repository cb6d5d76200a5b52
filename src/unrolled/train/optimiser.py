"""AdamW and SGD, their parameter groups, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from unrolled.errors import ArgumentError
from unrolled.train.settings import TrainSettings


def make_optimiser(module: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimiser over the trainable parameters of `module`; raises ArgumentError where there are none.

    Weight decay goes to matrices only: on a bias or a gain it shrinks what the data ask for.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise ArgumentError("the network has no trainable parameter; give one whose parameters require gradients")
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    if settings.optimiser == "adamw":
        return AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=fused)
    return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=fused)


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """The rate of the next step, in all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def optimiser_tensors(optimiser: Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The running averages as `KIND/PARAMETER`, by name so that no order of parameters matters."""
    return {
        f"{kind}/{name}": value
        for name, parameter in module.named_parameters()
        for kind, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `optimiser_tensors`; step counters stay where the optimiser wants them.

    Raises KeyError for an unknown parameter, ArgumentError for averages that are not those of this optimiser.
    """
    parameters = dict(module.named_parameters())
    kinds = ("step", "exp_avg", "exp_avg_sq") if isinstance(optimiser, AdamW) else ("momentum_buffer",)
    names = {key.partition("/")[2] for key in tensors}
    if tensors.keys() != {f"{kind}/{name}" for kind in kinds for name in names}:
        raise ArgumentError(f"the averages of the optimiser are not {', '.join(kinds)} of each weight")
    optimiser.state.clear()
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        parameter = parameters[name]
        wanted = (torch.Size(), torch.float32) if kind == "step" else (parameter.shape, parameter.dtype)
        if (value.shape, value.dtype) != wanted:
            raise ArgumentError(f"{kind} of {name} is {tuple(value.shape)} of {value.dtype}")
        device = parameter.device if kind != "step" or optimiser.defaults["fused"] else "cpu"
        optimiser.state[parameter][kind] = value.to(device, copy=True)


def clip_(grads: list[Tensor], norm: float, most: float | None) -> None:
    """Scales all gradients by most / norm where their norm is larger (Pascanu et al. 2013)."""
    if most is not None and norm > most:
        torch._foreach_mul_(grads, most / norm)
