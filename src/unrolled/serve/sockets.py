"""Sessions by WebSocket: parts in, answers out, one after the other."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from unrolled.serve.answers import written_choices
from unrolled.serve.context import Context, context_of, key_of
from unrolled.serve.guard import too_large
from unrolled.serve.logs import event
from unrolled.serve.messages import as_object, dump, parse
from unrolled.serve.refusal import Refusal
from unrolled.serve.sessions import Session
from unrolled.serve.streams import token_of

router = APIRouter()
# Codes of RFC 6455, and above 4000 of our own.
DONE, AWAY, POLICY, LARGE, FAULT, RESTART, IDLE = 1000, 1001, 1008, 1009, 1011, 1012, 4408
_KEYS = ("push", "at", "look", "state", "finish", "key")


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    """A session of the only model."""
    await _serve(socket, None)


@router.websocket("/models/{name}/stream")
async def stream_of(name: str, socket: WebSocket) -> None:
    """A session of a model, with choices as in `?next=3`; `?session=` goes on with one that was left."""
    await _serve(socket, name)


async def _serve(socket: WebSocket, name: str | None) -> None:
    context = context_of(socket)
    await socket.accept()
    session: Session | None = None
    try:
        owner = await _owner(socket, context)
        session = await _attached(socket, context, name, owner)
        await _say(socket, session.about())
        while not session.over:
            await _answer(context, session, socket, await _next(socket, context.limits.idle_time))
        await socket.close(DONE)
    except Refusal as refusal:
        await _end(socket, refusal, {429: 1013, 503: RESTART, 413: LARGE, 408: IDLE}.get(refusal.status, POLICY))
    except WebSocketDisconnect:
        pass
    except Exception as error:  # noqa: BLE001 - the client is told that it is our fault, the log where
        event("fault", level=40, error=error)
        await _end(socket, Refusal(500, "This is a fault of the server itself; its log says where."), FAULT)
    finally:
        if session is not None:
            session.attached, session.leave = False, None


async def _owner(socket: WebSocket, context: Context) -> str:
    """Who speaks: by a header, or because a browser cannot set one, by the first message {"key": ...}."""
    owner = context.keys.owner(key_of(socket))
    if owner is not None:
        return owner
    if key_of(socket) is None:
        first = await _next(socket, context.limits.slow_time)
        given = as_object(parse(first), ("key",), ("key",))["key"] if isinstance(first, str) else None
        owner = context.keys.owner(given if isinstance(given, str) else None)
    if owner is None:
        raise Refusal(401, 'An API key is needed, and none or a wrong one was sent; send {"key": ...} first.')
    return owner


async def _attached(socket: WebSocket, context: Context, name: str | None, owner: str) -> Session:
    given = dict(socket.query_params)
    asked = given.pop("session", None)
    if asked is None:
        served = context.model(name)
        session = await context.sessions.open(served, owner, choices=written_choices(served.model.task, given))
    elif given:
        raise Refusal(422, "A session goes on with the choices it was opened with; leave all but session out.")
    else:
        session = await context.sessions.find(asked, owner)
        if name is not None and session.served.name != name:
            raise Refusal(409, f"The session is of the model {session.served.name!r}; go on with it there.")
        if session.attached:
            raise Refusal(409, "Another connection uses the session; close that one first.")

    async def leave(farewell: dict[str, Any]) -> None:
        await _say(socket, farewell)
        await socket.close(RESTART)

    session.attached, session.leave = True, leave
    return session


async def _next(socket: WebSocket, patience: float) -> str | bytes:
    """The next message. Raises WebSocketDisconnect, and Refusal (408) where none comes."""
    try:
        async with asyncio.timeout(patience):
            message = await socket.receive()
    except TimeoutError:
        raise Refusal(408, f"Nothing came for {patience:g} s; connect again to go on.") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", AWAY))
    found: str | bytes | None = message.get("text")
    return message["bytes"] if found is None else found


async def _answer(context: Context, session: Session, socket: WebSocket, message: str | bytes) -> None:
    """One message. A part that does not fit is told and changes nothing; the next may follow."""
    sessions = context.sessions
    try:
        if len(message) > context.limits.body_bytes:
            raise too_large(context.limits)
        if isinstance(message, bytes):
            reply = await sessions.push(session, message)
        else:
            given = as_object(parse(message), _KEYS)
            if "push" in given:
                reply = await sessions.push(session, given["push"], at=given.get("at"), look=given.get("look"))
            elif given.get("finish") is True:
                reply = await sessions.finish(session)
            elif given.get("state") is True:
                reply = dump({"state": token_of(await sessions.state(session)), "step": session.steps})
            else:
                raise Refusal(
                    422, 'The message asks for nothing; send {"push": ...}, {"state": true} or {"finish": true}.'
                )
    except Refusal as refusal:
        reply = dump({"error": str(refusal), "status": refusal.status, "step": session.steps})
    await socket.send_text(reply.decode())


async def _say(socket: WebSocket, value: Any) -> None:
    await socket.send_text(dump(value).decode())


async def _end(socket: WebSocket, refusal: Refusal, code: int) -> None:
    try:
        await _say(socket, {"error": str(refusal), "status": refusal.status})
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):
        return  # it has gone
