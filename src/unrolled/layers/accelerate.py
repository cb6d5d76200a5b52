"""One line that makes the recurrent modules of any PyTorch model ours."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from unrolled.errors import ArgumentError
from unrolled.layers import drop_in

M = TypeVar("M", bound=nn.Module)
_OURS: dict[type[nn.RNNBase], type[nn.RNNBase]] = {nn.RNN: drop_in.RNN, nn.LSTM: drop_in.LSTM, nn.GRU: drop_in.GRU}


def accelerate(module: M) -> M:
    """Let every nn.RNN, nn.LSTM and nn.GRU in `module`, or `module` itself, compute with our engine; returns `module`.

    The modules stay the same objects with the same Parameters, hooks and state dict; only their class becomes that of
    `unrolled.nn`. Raises ArgumentError, before anything is changed, for a subclass whose computation is not known.
    """
    found = [(name, child) for name, child in module.named_modules() if isinstance(child, nn.RNNBase)]
    for name, child in found:
        if type(child) not in _OURS and type(child) not in _OURS.values():
            raise ArgumentError(
                f"{name or 'the module'} is a {type(child).__name__}, a subclass that may compute something else than "
                "nn.RNN, nn.LSTM and nn.GRU do; accelerate the other parts one by one or derive it from unrolled.nn."
            )
    for _, child in found:
        child.__class__ = _OURS.get(type(child), type(child))
    return module
