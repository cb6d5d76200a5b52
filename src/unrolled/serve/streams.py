"""Sessions by requests: opened, pushed, finished, read as server-sent events."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response, StreamingResponse

from unrolled.errors import ArgumentError
from unrolled.serve import openapi as doc
from unrolled.serve.answers import choices_of
from unrolled.serve.bodies import read_object
from unrolled.serve.context import Context, answer, context_of, owner_of
from unrolled.serve.messages import kind_of
from unrolled.serve.refusal import Refusal
from unrolled.serve.routes import Name
from unrolled.serve.sessions import Session
from unrolled.streams.saved import unpack

router = APIRouter(dependencies=[Depends(owner_of)])

Id = Annotated[str, Path(description="name of a session", max_length=64)]
Owner = Annotated[str, Depends(owner_of)]
# A proxy closes a connection on which nothing is said for a minute or so.
_QUIET = 15.0

_OPEN: dict[str, Any] = {
    "status_code": 201,
    "responses": {
        **doc.replies(doc.SESSION, "The session.", status=201),
        **doc.problems(400, 404, 408, 409, 413, 415, 422, 429, 503),
    },
    "openapi_extra": doc.body(doc.OPENING, needed=False),
}
_ERRORS = (400, 404, 408, 409, 413, 415, 422, 429, 503)


@router.post("/sessions", summary="Open a session of the only model", **_OPEN)
async def open_session(request: Request, owner: Owner) -> Response:
    """A stream with a state of its own; with `state` it goes on where that was taken."""
    return await _open(request, None, owner)


@router.post("/models/{name}/sessions", summary="Open a session of a model", **_OPEN)
async def open_session_of(name: Name, request: Request, owner: Owner) -> Response:
    """A stream with a state of its own; with `state` it goes on where that was taken."""
    return await _open(request, name, owner)


async def _open(request: Request, name: str | None, owner: str) -> Response:
    context = context_of(request)
    served = context.model(name)
    given = await read_object(request, ("state", "choices"))
    task = served.model.task
    choices, state = choices_of(task, given.get("choices")), state_of(given.get("state"))
    if state is not None:
        # A stranger may have written it, so the choices in it are no more to be trusted than those beside it.
        choices_of(task, await context.work.aside(lambda: choices_within(state)))
    session = await context.sessions.open(served, owner, state, choices)
    return answer(session.about(), 201)


def state_of(token: Any) -> bytes | None:
    """The state that a client sends back. Raises Refusal (422)."""
    if token is None:
        return None
    if not isinstance(token, str):
        raise Refusal(422, f"state is {kind_of(token)}; give the text that was answered as state.")
    try:
        return base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, "state is no base64; give the text that was answered as state.") from None


def choices_within(state: bytes) -> Any:
    """The choices that a state was opened with. Raises Refusal (422)."""
    try:
        return unpack(state)[0].get("choices")
    except ArgumentError as error:
        raise Refusal.of(error) from None


def token_of(state: bytes) -> str:
    """A state as a client keeps it."""
    return base64.b64encode(state).decode("ascii")


async def _session(request: Request, name: str, owner: str) -> tuple[Context, Session]:
    context = context_of(request)
    return context, await context.sessions.find(name, owner)


@router.get("/sessions/{name}", summary="A session", responses={**doc.replies(doc.SESSION), **doc.problems(*_ERRORS)})
async def session(name: Id, request: Request, owner: Owner) -> Response:
    """Its model and the steps that it has read."""
    _, found = await _session(request, name, owner)
    return answer(found.about())


@router.post(
    "/sessions/{name}/push",
    summary="Send the next part",
    responses={**doc.replies(doc.REPLY), **doc.problems(*_ERRORS)},
    openapi_extra=doc.body(doc.PUSH),
)
async def push(name: Id, request: Request, owner: Owner) -> Response:
    """What is known after it. `at`, the step that the client believes to be at, refuses a part that came twice."""
    context, found = await _session(request, name, owner)
    given = await read_object(request, ("push", "at", "look"), ("push",))
    told = await context.sessions.push(found, given["push"], at=given.get("at"), look=given.get("look"))
    return Response(told, media_type="application/json")


@router.post(
    "/sessions/{name}/finish",
    summary="Nothing follows",
    responses={**doc.replies(doc.REPLY), **doc.problems(*_ERRORS)},
)
async def finish(name: Id, request: Request, owner: Owner) -> Response:
    """The answer to the whole; the session is over."""
    context, found = await _session(request, name, owner)
    return Response(await context.sessions.finish(found), media_type="application/json")


@router.get(
    "/sessions/{name}/state",
    summary="The state, to go on elsewhere",
    responses={**doc.replies(doc.STATE), **doc.problems(*_ERRORS)},
)
async def state(name: Id, request: Request, owner: Owner) -> Response:
    """A text that opens a session on any server of the same run."""
    context, found = await _session(request, name, owner)
    return answer({"state": token_of(await context.sessions.state(found)), "step": found.steps})


@router.delete("/sessions/{name}", summary="Forget a session", status_code=204, responses=doc.problems(*_ERRORS))
async def forget(name: Id, request: Request, owner: Owner) -> Response:
    """Without an answer to the whole."""
    context, found = await _session(request, name, owner)
    await context.sessions.close(found, "deleted")
    return Response(status_code=204)


@router.get(
    "/sessions/{name}/events",
    summary="The answers as server-sent events",
    responses={**doc.replies(doc.TEXT, kind="text/event-stream"), **doc.problems(*_ERRORS)},
)
async def events(name: Id, request: Request, owner: Owner) -> Response:
    """`answer` after each part, `finished`, `stopping`; `Last-Event-ID` goes on behind an event that was seen."""
    _, found = await _session(request, name, owner)
    last = request.headers.get("last-event-id", "")
    seen = int(last) if last.isdecimal() and len(last) < 16 else found.count
    return StreamingResponse(_told(found, seen), media_type="text/event-stream")


async def _told(session: Session, seen: int) -> AsyncIterator[bytes]:
    """The events behind `seen`; a reader who was too slow is told how many are gone, and costs no memory."""
    yield b": open\n\n"
    while True:
        more = session.more
        for number, name, data in [kept for kept in session.events if kept[0] > seen]:
            if number > seen + 1:
                yield f"event: missed\ndata: {number - seen - 1}\n\n".encode()
            seen = number
            yield f"id: {number}\nevent: {name}\ndata: ".encode() + data + b"\n\n"
        if session.count > seen:
            continue
        if session.ended:
            return
        try:
            async with asyncio.timeout(_QUIET):
                await more.wait()
        except TimeoutError:
            yield b": quiet\n\n"
