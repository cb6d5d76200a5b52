"""Threads of our own for calls that release the interpreter's lock; made anew in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

_lock = Lock()
_pool: ThreadPoolExecutor | None = None
_owner = 0
_width = 0


def run(function: Callable[[int], None], arguments: Sequence[int]) -> None:
    """Call the function once for each argument, the last one in this thread; returns when all are done."""
    if len(arguments) == 1:
        function(arguments[0])
        return
    waiting = [_executor(len(arguments) - 1).submit(function, a) for a in arguments[:-1]]
    function(arguments[-1])
    for job in waiting:
        job.result()


def _executor(width: int) -> ThreadPoolExecutor:
    """The pool of this process; a fork inherits the object but not its threads."""
    global _pool, _owner, _width  # noqa: PLW0603  # one pool a process, as the processor's cores are
    with _lock:
        if _pool is None or _owner != os.getpid() or _width < width:
            _pool = ThreadPoolExecutor(width, thread_name_prefix="unrolled")
            _owner, _width = os.getpid(), width
        return _pool


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # the parent may have held the lock at the moment of the fork
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
