"""What was laid out for calls of one shape with the same weights, kept with these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from unrolled.engine.weights import Weights

T = TypeVar("T")
# Of each kind, for other shapes and other threads.
MOST = 16
NEVER = object()


def find(weights: Weights, kind: type[T], key: Hashable) -> T | None:
    """What `remember` made for this key in this thread: buffers are written in place, so each thread has its own."""
    found = weights.laid_out.get(kind, {}).get((key, threading.get_ident()))
    return found if isinstance(found, kind) else None


class Laid(Protocol):
    """Something laid out for parameters at these addresses, a type and states of these shapes."""

    addresses: list[int]
    dtype: torch.dtype
    shapes: list[tuple[int, int]]


def takes(found: Laid, weights: Weights, x: Tensor, state: Any) -> bool:
    """Whether all is as it was when this was laid out."""
    if not isinstance(state, tuple | None) or not x.is_cpu or x.dtype != found.dtype:
        return False
    shapes = found.shapes if state is None else [s.shape for s in state if s.is_cpu and s.dtype == found.dtype]
    return shapes == found.shapes and found.addresses == weights.addresses()


def remember(weights: Weights, kind: type[T], key: Hashable, make: Callable[[], T | None]) -> None:
    """Make it when the key comes a second time: for what comes once it would not pay. None is made only once."""
    known, mine, made = weights.laid_out.setdefault(kind, {}), (key, threading.get_ident()), None
    if mine in known:
        if known[mine] is NEVER:
            return
        # tensors made in inference mode could not be written to outside of it
        with torch.inference_mode(False), torch.no_grad():
            made = make() or NEVER
    known.pop(mine, None)
    known[mine] = made
    for old in list(known)[:-MOST]:
        known.pop(old, None)
