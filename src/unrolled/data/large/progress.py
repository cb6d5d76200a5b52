"""How far a long reading has come, told to whoever listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`done` of `total` bytes of the files, read after `seconds`; `waiting`: another process is doing it."""

    what: str
    done: int
    total: int
    seconds: float
    waiting: bool = False

    def __str__(self) -> str:
        if self.waiting:
            return f"{self.what}: waiting for another process that does it already"
        speed = self.done / 2**20 / max(self.seconds, 1e-9)
        share = self.done / max(1, self.total)
        size = self.total / 2**20
        shown = f"{size:,.0f}" if size >= 10 else f"{size:.2f}"
        return f"{self.what}: {share:4.0%} of {shown} MB at {speed:,.0f} MB/s"


_listener: ContextVar[Callable[[Progress], None] | None] = ContextVar("unrolled_progress", default=None)


@contextlib.contextmanager
def progress_to(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Within this block `listener` hears of every long reading, about five times a second."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(progress: Progress) -> None:
    """Say how far it has come."""
    listener = _listener.get()
    if listener is not None:
        listener(progress)
