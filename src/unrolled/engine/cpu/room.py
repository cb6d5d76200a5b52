"""Memory for the tensors of a call, in one place so that the tests can fill it with NaN.

The system hands new memory out page by page, each emptied first: 1,500 pages took 7 ms of a pass of 31. So a large
block is used again when no tensor lies in it any more.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

# Bytes from which on memory is taken from here, and of how many is remembered where they are.
SMALLEST, MOST = 1 << 17, 256 << 20
# Bytes from which on pages are huge, which are emptied five times as fast, and a block is laid on their bounds.
LARGE, HUGE = 4 << 20, 2 << 20


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory with anything in it."""
    count = math.prod(shape)
    size = count * dtype.itemsize
    block = None if size < SMALLEST or not RECYCLES else _blocks.take(size)
    if block is None:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(block, dtype=dtype, count=count).view(shape)


def flat(value: Tensor) -> Tensor:
    """(..., n) as rows (N, n), copied where they do not lie that way."""
    if value.is_contiguous():
        return value.view(-1, value.shape[-1])
    found = empty(*value.shape, dtype=value.dtype)
    return found.copy_(value).view(-1, value.shape[-1])


class Blocks:
    """Blocks of memory by their sizes, those used last at the end.

    A tensor holds a reference to the block it lies in, so a block without any but ours is free.
    """

    def __init__(self) -> None:
        self.known: dict[int, list[Any]] = {}
        self.sizes: OrderedDict[int, int] = OrderedDict()  # of each block that is remembered, by its id
        self.total = 0
        self.lock = Lock()

    def take(self, size: int) -> Any:
        """A free block of at least `size` bytes; None where the system has none left."""
        size = _rounded(size)
        with self.lock:
            blocks = self.known.setdefault(size, [])
            for place, references in enumerate(_references(blocks)):
                if references == ALONE:
                    self.sizes.move_to_end(id(blocks[place]))
                    return blocks[place]
            block = _mapped(size)
            if block is not None:
                blocks.append(block)
                self.sizes[id(block)] = size
                self.total += size
                self._forget()
            return block

    def _forget(self) -> None:
        """The blocks not used for longest; one that a tensor lies in goes with its tensor."""
        while self.total > MOST and self.sizes:
            gone, size = self.sizes.popitem(last=False)
            self.known[size] = [block for block in self.known[size] if id(block) != gone]
            self.total -= size


def _rounded(size: int) -> int:
    """Up to an eighth more, so that sizes that differ little share their blocks."""
    step = max(mmap.PAGESIZE, 1 << (size.bit_length() - 4), HUGE if size >= LARGE else 0)
    return -(-size // step) * step


def _mapped(size: int) -> mmap.mmap | None:
    """Memory of the system's, or None where there is none left and torch may say so."""
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return None
    if size >= LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _references(blocks: Sequence[object]) -> Iterator[int]:
    for block in blocks:
        yield sys.getrefcount(block)


def _recycles() -> bool:
    """Whether a tensor's hold on its memory can be seen, as it can in CPython with its lock."""
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    if os.name != "posix" or sys.implementation.name != "cpython" or not locked:
        return False
    blocks = [mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)]
    tensor = torch.frombuffer(blocks[0], dtype=torch.uint8).view(2, -1)
    held = next(_references(blocks))
    del tensor
    return held > next(_references(blocks)) == ALONE


ALONE = next(_references([object()]))
RECYCLES = _recycles()
_blocks = Blocks()


def _after_fork() -> None:
    # another thread of the parent may have held the lock at that moment
    _blocks.lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
