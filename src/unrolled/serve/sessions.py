"""Streams of clients: each with a name, a state of its own and an end; nothing of one is ever seen by another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from unrolled.errors import UnrolledError
from unrolled.serve.limits import Limits
from unrolled.serve.logs import event
from unrolled.serve.messages import dump
from unrolled.serve.metrics import Metrics
from unrolled.serve.model import Served
from unrolled.serve.parts import look_into, part_of
from unrolled.serve.refusal import Refusal, busy
from unrolled.serve.store import Saved, Store, new_id
from unrolled.serve.work import Work
from unrolled.streams import Stream

# Events that a reader who comes late, or again, still finds.
_REMEMBERED = 64


@dataclass
class Session:
    """One stream of one client. `steps` are those that were answered."""

    name: str
    served: Served
    stream: Stream = field(repr=False)
    owner: str = field(repr=False)
    steps: int = 0
    used: float = field(default_factory=time.monotonic)
    saved_steps: int = -1
    busy: bool = False
    attached: bool = False
    leave: Callable[[dict[str, Any]], Awaitable[None]] | None = field(default=None, repr=False)
    finished: bool = False
    ended: str = ""
    count: int = 0
    events: deque[tuple[int, str, bytes]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED), repr=False)
    more: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    disk: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def over(self) -> bool:
        """Whether it ended by its client's will or by a fault; else the server says what becomes of it."""
        return self.ended in ("finished", "deleted", "failed")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else may use the stream meanwhile. Raises Refusal (409)."""
        if self.busy:
            raise Refusal(409, "The session reads another part; wait for its answer before the next is sent.")
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
            self.used = time.monotonic()

    def tell(self, name: str, value: Any) -> bytes:
        """An event for those who listen, as JSON; those who are slow miss the oldest."""
        told = dump(value)
        self.count += 1
        self.events.append((self.count, name, told))
        self.more.set()
        self.more = asyncio.Event()
        return told

    def about(self) -> dict[str, Any]:
        """What a client is told of it."""
        return {"session": self.name, "model": self.served.name, "step": self.steps}


class Sessions:
    """All streams of a server."""

    def __init__(
        self, models: Mapping[str, Served], work: Work, limits: Limits, metrics: Metrics, store: Store | None = None
    ) -> None:
        self._models, self._work, self._limits, self._metrics, self._store = models, work, limits, metrics, store
        self._open: dict[str, Session] = {}
        self._opening: dict[str, asyncio.Future[Session]] = {}
        self.stopping = False

    def __len__(self) -> int:
        return len(self._open)

    async def open(
        self, served: Served, owner: str, state: bytes | None = None, choices: Mapping[str, Any] | None = None
    ) -> Session:
        """A new stream, from the beginning or from a state, with the task's own choices. Raises Refusal."""
        return await self._add(new_id(), served, owner, lambda: served.stream(state, choices))

    async def _add(self, name: str, served: Served, owner: str, make: Callable[[], Stream]) -> Session:
        if served.no_stream is not None:
            raise Refusal(409, f"The model {served.name!r} has no streams: {served.no_stream}.")
        self._check_running()
        if len(self._open) + len(self._opening) >= self._limits.max_sessions:
            raise busy(f"{len(self._open):,} sessions are open, as many as may be; finish one or wait.")
        self._opening[name] = asyncio.get_running_loop().create_future()
        try:
            stream = await self._step(make)
            session = Session(name, served, stream, owner, stream.steps)
            self._open[name] = session
        finally:
            self._opening.pop(name).cancel()
        return session

    async def find(self, name: str, owner: str) -> Session:
        """An open stream of this client, or one of its saved ones. Raises Refusal (404)."""
        if name in self._opening:
            await asyncio.wait([self._opening[name]])
        session = self._open.get(name)
        if session is None and self._store is not None:
            session = await self._restored(name, owner, self._store)
        if session is None or session.owner != owner:
            raise Refusal(
                404,
                "There is no such session: it was finished, was not used for too long, or was not saved when the "
                "server stopped; open a new one.",
            )
        return session

    async def _restored(self, name: str, owner: str, store: Store) -> Session | None:
        saved = await self._work.aside(lambda: store.load(name))
        if saved is None or saved.owner != owner:
            return None
        if name in self._open:  # another request was faster
            return self._open[name]
        if saved.model not in self._models:
            raise Refusal(409, f"The session is of the model {saved.model!r}, which is not served now; open a new one.")
        served = self._models[saved.model]
        session = await self._add(name, served, owner, lambda: served.stream(saved.state))
        session.saved_steps = session.steps
        return session

    async def push(self, session: Session, value: Any, *, at: Any = None, look: Any = False) -> bytes:
        """The answer after the next part, as JSON. `at` is the step at which the client believes the stream to be."""
        with session.alone():
            self._check(session)
            if at is not None and at != session.steps:
                raise Refusal(409, f"The session is at step {session.steps:,} and not where at says; go on from there.")

            def work() -> tuple[Any, int, Any]:
                part = part_of(session.served, value, self._limits.max_steps)
                answer = session.stream.push(part)
                seen = look_into(session.stream.state()) if look is True else None
                return answer, session.stream.steps, seen

            answer, session.steps, seen = await self._step(work, session)
            self._metrics.pushes.add(model=session.served.name)
            reply = {"answer": answer, "step": session.steps, **({"state": seen} if look is True else {})}
            return session.tell("answer", reply)

    async def finish(self, session: Session) -> bytes:
        """The answer to the whole, as JSON; the stream is over."""
        with session.alone():
            self._check(session)
            answer = await self._step(session.stream.finish, session)
            session.finished, session.steps = True, session.stream.steps
            reply = {"answer": answer, "step": session.steps, "finished": True}
            told = session.tell("finished", reply)
            await self.close(session, "finished")
            return told

    async def state(self, session: Session) -> bytes:
        """Everything that is needed to go on elsewhere."""
        with session.alone():
            self._check(session)
            found: bytes = await self._step(session.stream.state, session)
            return found

    async def close(self, session: Session, how: str) -> None:
        """Forget a stream, on disk too."""
        if self._open.pop(session.name, None) is None:
            return
        session.ended = how
        session.more.set()
        self._metrics.ended.add(how=how)
        if self._store is not None:
            store = self._store
            async with session.disk:  # what is written now must not outlive it
                await self._work.aside(lambda: store.remove(session.name))

    def _check(self, session: Session) -> None:
        self._check_running()
        if session.ended or session.finished:
            raise Refusal(409, "The session is over; open a new one.")

    def _check_running(self) -> None:
        if self.stopping:
            raise Refusal(503, "The server is stopping; send it again when it is back.", {"Retry-After": "5"})

    async def _step(self, work: Any, session: Session | None = None) -> Any:
        """In the thread of the streams; what a task says against a part becomes a refusal."""
        began = time.perf_counter()
        try:
            return await self._work.step(work)
        except UnrolledError as error:
            raise Refusal.of(error) from None
        except MemoryError:
            raise Refusal(413, "The part takes more memory than there is; send less at once.") from None
        except (Refusal, asyncio.CancelledError):
            raise
        except Exception:
            # Half of a part may have been read: no answer after it could be trusted.
            if session is not None:
                await self.close(session, "failed")
            raise
        finally:
            if session is not None:
                took = time.perf_counter() - began
                self._metrics.compute_seconds.observe(took, model=session.served.name, work="stream")

    async def sweep(self) -> None:
        """Save what was read since the last time, and let go of streams that nobody used for too long."""
        now = time.monotonic()
        for session in list(self._open.values()):
            saved = await self._save(session)
            # It may have been used while it was saved.
            unused = not session.busy and not session.attached and session.saved_steps in (-1, session.steps)
            if unused and now - session.used > self._limits.idle_time and (saved or self._store is None):
                self._let_go(session, "saved" if saved else "idle")
        if self._store is not None:
            await self._work.aside(self._store.prune)

    def _let_go(self, session: Session, how: str) -> None:
        session.ended = how
        session.more.set()
        if self._open.pop(session.name, None) is not None:
            self._metrics.ended.add(how=how)

    async def _save(self, session: Session) -> bool:
        """Whether the stream lies on disk as it is now."""
        if session.saved_steps == session.steps:
            return True
        store = self._store
        if store is None:
            return False
        try:
            async with session.disk:
                if session.ended:
                    return False
                # In the thread of the streams, so between two parts and never within one.
                state, steps = await self._step(lambda: (session.stream.state(), session.stream.steps))
                saved = Saved(session.served.name, session.owner, state)
                await self._work.aside(lambda: store.save(session.name, saved))
        except Exception as error:  # noqa: BLE001 - the others are to be saved all the same
            event("session not saved", level=40, error=error)
            return False
        session.saved_steps = steps
        return True

    async def stop(self) -> int:
        """Refuse what is new, let what is under way end, and save all that is open; how many were saved."""
        self.stopping = True
        for _ in range(100):
            if not any(session.busy for session in self._open.values()):
                break
            await asyncio.sleep(0.05)
        saved = 0
        leaving: list[asyncio.Task[None]] = []
        for session in list(self._open.values()):
            kept = await self._save(session)
            saved += kept
            farewell = self.farewell(session, kept=kept)
            session.tell("stopping", farewell)
            self._let_go(session, "saved" if kept else "stopped")
            if session.leave is not None:
                leaving.append(asyncio.create_task(session.leave(farewell)))  # type: ignore[arg-type]
        if leaving:
            # A client that does not read its farewell is not waited for long.
            await asyncio.wait(leaving, timeout=min(10.0, self._limits.slow_time))
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
        return saved

    def farewell(self, session: Session, *, kept: bool) -> dict[str, Any]:
        """What a client is told when the server stops."""
        goes_on = "it is saved and goes on when the server is back" if kept else "it is not saved; open a new one then"
        return {**session.about(), "error": f"The server is stopping; {goes_on}.", "saved": kept}
