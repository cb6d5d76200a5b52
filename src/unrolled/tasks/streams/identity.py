"""By what the saved state of a stream knows its run."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from unrolled.streams.saved import fingerprint
from unrolled.tasks.model import TaskModel
from unrolled.train.weights import named_weights


def identity(model: TaskModel[Any]) -> str:
    """SHA-256 of task, vocabulary and weights."""
    units = None if model.vocabulary is None else model.vocabulary.to_json()
    return fingerprint(model.task, units, {name: _array(t) for name, t in named_weights(model.module).items()})


def place(module: nn.Module) -> tuple[tuple[int, int], ...]:
    """Where the weights lie and how often each was changed: while this is the same, the weights are."""
    return tuple((tensor.data_ptr(), tensor._version) for tensor in named_weights(module).values())


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    """NumPy has no bfloat16, of which float32 holds every value."""
    tensor = tensor.detach().cpu()
    found: npt.NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found
