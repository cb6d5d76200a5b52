"""What stands before every route: who may speak to the server at all, how long, how much, and what is said of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unrolled.serve.limits import Limits
from unrolled.serve.logs import event
from unrolled.serve.messages import dump
from unrolled.serve.metrics import Metrics
from unrolled.serve.refusal import Refusal

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
    "cache-control": "no-store",
}
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def refused(refusal: Refusal) -> Response:
    """A refusal as a response."""
    return Response(dump({"error": str(refusal)}), refusal.status, refusal.headers, "application/json")


class Guard:
    """Checks Host and Origin, bounds bodies in size and time, adds headers of safety, counts and logs.

    A page of another site that a browser shows can send requests to this machine too: with `hosts` only those names
    may be spoken to, and an Origin must be the server itself.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, hosts: frozenset[str] | None) -> None:
        self.app, self.limits, self.metrics, self.hosts = app, limits, metrics, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        wrong = self._stranger(headers)
        if scope["type"] == "websocket":
            if wrong is not None:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            began = time.perf_counter()
            await self.app(scope, receive, send)
            event("connection", route=_route(scope), seconds=round(time.perf_counter() - began, 3))
            return
        watch = _Watch(send)
        began = time.perf_counter()
        try:
            wrong = wrong or self._too_large(headers)
            if wrong is not None:
                await refused(wrong)(scope, receive, watch.send)
            else:
                await self.app(scope, _Body(receive, self.limits).receive, watch.send)
        except Exception as error:  # noqa: BLE001 - answered with 500 already; the log says where it was
            event("fault", level=40, error=error)
            if not watch.status:
                await refused(Refusal(500, _FAULT))(scope, receive, watch.send)
        finally:
            self._count(scope, watch.status or 499, time.perf_counter() - began)

    def _stranger(self, headers: MutableMapping[bytes, str]) -> Refusal | None:
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if self.hosts is not None and _name(host) not in self.hosts:
            return Refusal(
                403, "The Host of the request is not this server; speak to it as localhost, or start it with a key."
            )
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return Refusal(403, "The request comes from a page of another site, which may not use this server.")
        return None

    def _too_large(self, headers: MutableMapping[bytes, str]) -> Refusal | None:
        length = headers.get(b"content-length", "")
        if length.isdecimal() and int(length[:20]) > self.limits.body_bytes:
            return too_large(self.limits)
        return None

    def _count(self, scope: Scope, status: int, took: float) -> None:
        # The route's pattern and not the path, which may be anything.
        route = _route(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.add(route=route, method=method, status=str(status))
        self.metrics.seconds.observe(took, route=route)
        event("request", route=route, method=method, status=status, milliseconds=round(1000 * took, 2))


def _route(scope: Scope) -> str:
    """The pattern of the route that took it; of the page's files their folder."""
    return str(getattr(scope.get("route"), "path", scope.get("root_path") or "unknown"))


_METHODS = frozenset(("GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS"))
_FAULT = "This is a fault of the server itself; its log says where."


def too_large(limits: Limits) -> Refusal:
    """A body beyond the limit."""
    return Refusal(413, f"The body is larger than {limits.max_body:g} MB, the most of a request; send less at once.")


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


class _Watch:
    """Adds the headers, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)


class _Body:
    """The body of a request, no larger and no slower than the limits."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._read = 0
        self._whole = False
        self._until: float | None = None

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + self._limits.slow_time
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(
                408,
                f"The body did not arrive within {self._limits.slow_time:g} s; send it faster.",
                {"Connection": "close"},
            ) from None
        self._read += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._read > self._limits.body_bytes:
            raise too_large(self._limits)
        return message
