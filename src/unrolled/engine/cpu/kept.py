"""What was laid out for calls of one shape with the same weights, kept with these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

import torch

from unrolled.engine.weights import Weights

T = TypeVar("T")
# Of each kind, for other shapes and other threads.
MOST = 16


def find(weights: Weights, kind: type[T], key: Hashable) -> T | None:
    """What `remember` made for this key in this thread: buffers are written in place, so each thread has its own."""
    found: T | None = weights.laid_out.get(kind, {}).get((key, threading.get_ident()))
    return found


def remember(weights: Weights, kind: type[T], key: Hashable, make: Callable[[], T | None]) -> None:
    """Make it when the key comes a second time: for what comes once it would not pay."""
    known, mine = weights.laid_out.setdefault(kind, {}), (key, threading.get_ident())
    # tensors made in inference mode could not be written to outside of it
    with torch.inference_mode(False), torch.no_grad():
        known[mine] = make() if mine in known else None
    while len(known) > MOST:
        known.pop(next(iter(known)))
