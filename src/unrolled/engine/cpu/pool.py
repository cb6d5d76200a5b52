"""Threads of our own for calls that release the interpreter's lock; made anew in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from threading import Lock

_lock = Lock()
_pool: ThreadPoolExecutor | None = None
_owner = 0
_width = 0


def run(function: Callable[[int], None], arguments: Sequence[int]) -> None:
    """Call the function once for each argument, the last one in this thread; returns when all are done.

    Jobs that no thread has begun when this one is free are done here, so a busy or nested pool cannot block.
    Raises what a call raised, but only after the others have let go of the caller's memory.
    """
    if len(arguments) == 1:
        function(arguments[0])
        return
    executor = _executor(len(arguments) - 1)
    jobs = [(executor.submit(function, a), a) for a in arguments[:-1]]
    with ExitStack() as at_the_end:
        at_the_end.callback(_wait, [job for job, _ in jobs])
        function(arguments[-1])
        for job, argument in jobs:
            if job.cancel():
                function(argument)
    for job, _ in jobs:
        if not job.cancelled():
            job.result()


def _wait(jobs: list[Future[None]]) -> None:
    """Until no job runs; an interrupt from the keyboard waits too, because the jobs write to memory of the caller."""
    interrupted = None
    for job in jobs:
        job.cancel()
    while any(not job.done() for job in jobs):
        try:
            wait(jobs)
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


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
