"""Requests that wait together are computed together, and each gets its own rows back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from unrolled.errors import UnrolledError
from unrolled.serve.answers import Options, Row
from unrolled.serve.intake import Item
from unrolled.serve.limits import Limits
from unrolled.serve.metrics import Metrics
from unrolled.serve.model import Served
from unrolled.serve.refusal import Refusal, busy
from unrolled.serve.work import Work

Outcome = list[Row] | Exception


@dataclass(frozen=True)
class _Job:
    items: list[Item] = field(repr=False)
    options: Options
    future: asyncio.Future[list[Row]]


class Batcher:
    """Gathers the requests of one model: what came while the last batch was computed is the next one."""

    def __init__(self, served: Served, work: Work, limits: Limits, metrics: Metrics) -> None:
        self.served = served
        self._work, self._limits, self._metrics = work, limits, metrics
        self._waiting: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def answer(self, items: list[Item], options: Options = ()) -> list[Row]:
        """An answer for each item. Raises Refusal where too many wait, and what the model raises."""
        if len(self._waiting) >= self._limits.max_waiting:
            raise busy(f"{len(self._waiting):,} requests wait already; send this one again a little later.")
        job = _Job(items, options, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await job.future

    async def _run(self) -> None:
        if self._limits.batch_wait:
            await asyncio.sleep(self._limits.batch_wait)
        while jobs := self._next():
            outcomes = await self._work.whole(lambda jobs=jobs: self._compute(jobs))  # type: ignore[misc]
            for job, outcome in zip(jobs, outcomes, strict=True):
                if job.future.cancelled():
                    continue
                if isinstance(outcome, Exception):
                    job.future.set_exception(outcome)
                else:
                    job.future.set_result(outcome)

    def _next(self) -> list[_Job]:
        """The oldest request, and with it those behind that ask in the same way, up to a batch of items."""
        jobs: list[_Job] = []
        count = 0
        while self._waiting:
            job = self._waiting[0]
            if job.future.cancelled():
                self._waiting.popleft()
                continue
            if jobs and (job.options != jobs[0].options or count + len(job.items) > self._limits.batch):
                break
            jobs.append(self._waiting.popleft())
            count += len(job.items)
        return jobs

    def _compute(self, jobs: list[_Job]) -> list[Outcome]:
        """In a worker's thread. Where a batch fails, each request is computed alone, so that it fails alone."""
        items = [item for job in jobs for item in job.items]
        found = self._answers(items, jobs[0].options)
        if isinstance(found, Exception):
            if len(jobs) == 1:
                return [found]
            return [self._answers(job.items, job.options) for job in jobs]
        rows = iter(found)
        return [[next(rows) for _ in job.items] for job in jobs]

    def _answers(self, items: list[Item], options: Options) -> Outcome:
        rows: list[Row] = [{}] * len(items)
        began = time.perf_counter()
        try:
            for places in together([item.steps for item in items], self._limits.max_steps):
                self._metrics.batch_rows.observe(len(places), model=self.served.name)
                found = self.served.answers([items[place].value for place in places], options)
                for place, row in zip(places, found, strict=True):
                    rows[place] = row
        except MemoryError:
            return Refusal(413, "The input takes more memory than there is; send less at once.")
        except UnrolledError as error:
            return Refusal.of(error)
        except Exception as error:  # noqa: BLE001 - told to the one who asked, and to the log
            return error
        self._metrics.steps.add(sum(item.steps for item in items), model=self.served.name)
        self._metrics.compute_seconds.observe(time.perf_counter() - began, model=self.served.name, work="predict")
        return rows


def together(steps: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of inputs of similar length, so many that padded they have at most `most` steps together, or one."""
    places: list[int] = []
    for place in sorted(range(len(steps)), key=steps.__getitem__):
        if places and (len(places) + 1) * steps[place] > most:
            yield places
            places = []
        places.append(place)
    if places:
        yield places
