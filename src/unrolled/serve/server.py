"""The application on uvicorn: loopback unless there is a key, patient with nobody for ever, and a graceful end."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from unrolled.errors import ArgumentError, RunError
from unrolled.serve.keys import VARIABLE, Keys
from unrolled.serve.limits import Limits
from unrolled.serve.logs import event
from unrolled.serve.sessions import Sessions


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(host: str, keys: Keys) -> None:
    """Raises ArgumentError where others could reach the server and no key is needed."""
    if not is_loopback(host) and not len(keys):
        raise ArgumentError(
            f"on {host} others could reach the server without a key; give keys with --keys FILE or {VARIABLE}, "
            "or leave --host out"
        )


class _Patience:
    """A reader who does not read is let go of after `slow_time`, and so is a request whose head does not come."""

    limits: Limits
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _reading: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        self._reading = self._reading or self.loop.call_later(self.limits.slow_time, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[misc]
        self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)  # type: ignore[misc]

    def _calm(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


class Http(_Patience, H11Protocol):
    """HTTP/1.1 for at most so many connections, none of which may wait for ever with half a head."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()
            return
        self._wait_for_head()

    def on_response_complete(self) -> None:
        self._wait_for_head()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._head = self.loop.call_later(self.limits.slow_time, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()

    def _give_up(self) -> None:
        begun: Any = self.cycle
        if begun is None or begun.response_complete:
            self.transport.abort()


class Socket(_Patience, WebSocketsSansIOProtocol):
    """WebSocket."""


class Server(uvicorn.Server):
    """Tells its address when it listens; at the end lets streams end and saves them before connections are closed."""

    def __init__(self, config: uvicorn.Config, sessions: Sessions, listening: Callable[[str], None]) -> None:
        super().__init__(config)
        self._sessions, self._listening = sessions, listening

    def stop(self) -> None:
        """End the server, as SIGTERM does."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or []:
            host, port = one.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            event("listening", host=host, port=port)
            self._listening(f"http://{shown}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        saved = await self._sessions.stop()
        event("stopping", saved=saved)
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises RunError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(f"{host}, port {port} cannot be used ({reason}); choose another --port or --host") from None
    return found


def make_server(app: FastAPI, limits: Limits, listening: Callable[[str], None], stop_within: float = 20.0) -> Server:
    """Uvicorn for the application; `listening` is told the address."""
    # Uvicorn makes the protocols itself, so that what they need must be in their class.
    http, web_socket = (type(kind.__name__, (kind,), {"limits": limits}) for kind in (Http, Socket))
    config = uvicorn.Config(
        app,
        http=http,
        ws=web_socket,
        ws_max_size=limits.body_bytes,
        ws_ping_interval=limits.slow_time,
        ws_ping_timeout=limits.slow_time,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=32_768,
        timeout_keep_alive=max(1, int(min(5.0, limits.slow_time))),
        timeout_graceful_shutdown=int(stop_within),
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        loop="asyncio",
    )
    return Server(config, app.state.context.sessions, listening)
