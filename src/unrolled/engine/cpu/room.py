"""Fresh memory, in one place so that the tests can fill it with NaN."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# Bytes from which on memory comes new from the system each time, which hands it out page by page: 52 MB took 9 ms in
# small pages and 2 ms in huge ones.
LARGE = 4 << 20


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory with anything in it."""
    found = torch.empty(*shape, dtype=dtype)
    advise = _advise() if found.nbytes >= LARGE else None
    if advise is not None:
        start = -(-found.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        # only whole pages of our own; where the system knows better it says no, and nothing is lost
        advise(start, (found.data_ptr() + found.nbytes - start) // mmap.PAGESIZE * mmap.PAGESIZE, _HUGE)
    return found


_HUGE = 14  # Linux's MADV_HUGEPAGE


@lru_cache(maxsize=1)
def _advise() -> Callable[[int, int, int], int] | None:
    """Linux's call that asks for huge pages; None elsewhere."""
    if sys.platform != "linux":
        return None
    call: Any = ctypes.CDLL(None).madvise
    call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    found: Callable[[int, int, int], int] = call
    return found
