"""Computation beside the event loop: one thread for short steps in their order, a few for whole inputs."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Steps:
    """One thread that does small pieces of work in their order, and hands all that are done back at once.

    Waking the event loop costs more than a step of a small network, so it is woken once for all that waited.
    """

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._there = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="steps", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work()` returns or raises."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        with self._there:
            self._jobs.append((work, future))
            self._there.notify()
        found: T = await future
        return found

    def close(self) -> None:
        """End the thread when its work is done."""
        with self._there:
            self._open = False
            self._there.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._there:
                while not self._jobs and self._open:
                    self._there.wait()
                if not self._jobs:
                    return
                jobs = [self._jobs.popleft() for _ in range(len(self._jobs))]
            done = [(future, *_outcome(work)) for work, future in jobs if not future.cancelled()]
            if done:
                done[0][0].get_loop().call_soon_threadsafe(_deliver, done)


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - handed on to the one who asked
        return None, error


def _deliver(done: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, value, error in done:
        if future.cancelled():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


class Work:
    """The threads of one server: `step` for streams, `whole` for whole inputs, `aside` for reading, writing, drawing.

    So neither a long input nor a slow disk holds up what is short.
    """

    def __init__(self, threads: int = 2) -> None:
        self._steps = Steps()
        self._whole = ThreadPoolExecutor(threads, thread_name_prefix="whole")
        self._aside = ThreadPoolExecutor(threads, thread_name_prefix="aside")

    async def step(self, work: Callable[[], T]) -> T:
        """A short piece of work, after those before it."""
        return await self._steps.run(work)

    async def whole(self, work: Callable[[], T]) -> T:
        """The computation of whole inputs, which may take long."""
        return await asyncio.get_running_loop().run_in_executor(self._whole, work)

    async def aside(self, work: Callable[[], T]) -> T:
        """What would hold up the event loop, and is no computation of a model."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    def close(self) -> None:
        """End the threads when their work is done."""
        self._steps.close()
        self._whole.shutdown(wait=True, cancel_futures=True)
        self._aside.shutdown(wait=True, cancel_futures=True)
