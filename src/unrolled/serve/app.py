"""The server as one ASGI application: models, queues, streams, routes and the page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from itertools import chain
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles

import unrolled
from unrolled.serve import routes, sockets, streams
from unrolled.serve.batching import Batcher
from unrolled.serve.context import Context, answer
from unrolled.serve.guard import LOOPBACK, Guard, refused
from unrolled.serve.keys import Keys
from unrolled.serve.limits import Limits
from unrolled.serve.logs import event
from unrolled.serve.metrics import Metrics
from unrolled.serve.model import Served
from unrolled.serve.openapi import with_keys
from unrolled.serve.refusal import Refusal, sentence
from unrolled.serve.sessions import Sessions
from unrolled.serve.store import Store
from unrolled.serve.work import Work

PAGE = Path(__file__).parent / "page"
_ROUTERS = (routes.open_routes, routes.router, streams.router, sockets.router)


def build_app(
    models: Mapping[str, Served],
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    keys: Keys | None = None,
    store: Store | None = None,
    save_every: float = 10.0,
    hosts: frozenset[str] | None = LOOPBACK,
) -> FastAPI:
    """All routes for these models.

    `hosts` are the names by which the server may be spoken to, None for any. Streams are saved to `store` every
    `save_every` seconds and at the end.
    """
    keys = keys or Keys()
    work = Work()
    batchers: dict[str, Batcher] = {}
    metrics = Metrics(lambda: len(sessions), lambda: sum(map(len, batchers.values())))
    sessions = Sessions(models, work, limits, metrics, store)
    batchers |= {name: Batcher(served, work, limits, metrics) for name, served in models.items()}
    context = Context(models, batchers, sessions, work, limits, keys, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(sessions, min(save_every, limits.idle_time / 4)))
        try:
            yield
        finally:
            sweeper.cancel()
            saved = await sessions.stop()
            event("stopped", saved=saved)
            work.close()

    app = FastAPI(
        title="Unrolled",
        version=unrolled.__version__,
        description="Recurrent networks behind HTTP: answers for whole inputs, and streams that are answered as they "
        "arrive. Streams also go over WebSocket: /models/{name}/stream.",
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context = context
    if len(keys):
        app.openapi = lambda: with_keys(FastAPI.openapi(app))  # type: ignore[method-assign]
    for router in _ROUTERS:
        app.include_router(router)
    app.exception_handler(Refusal)(_refuse)
    app.exception_handler(HTTPException)(_refuse_route)
    app.exception_handler(RequestValidationError)(_refuse_parameter)
    app.exception_handler(Exception)(_fault)
    app.add_middleware(Guard, limits=limits, metrics=metrics, hosts=hosts)
    _add_page(app)
    return app


async def _sweep(sessions: Sessions, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await sessions.sweep()
        except Exception as error:  # noqa: BLE001 - the next sweep may do what this one could not
            event("sweep failed", level=40, error=error)


def _add_page(app: FastAPI) -> None:
    """The page at / with its files under /page, or where it is not built in, the way to the models."""
    index = PAGE / "index.html"

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if index.exists():
            return FileResponse(index)
        return answer({"models": "/models", "openapi": "/openapi.json", "health": "/health"})

    if PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE), name="page")


async def _refuse(request: Request, error: Refusal) -> Response:
    return refused(error)


async def _refuse_route(request: Request, error: HTTPException) -> Response:
    said = {404: "There is nothing at this address; /openapi.json lists what there is.",
            405: "The address does not take this method; /openapi.json lists what it takes."}  # fmt: skip
    headers = {**(error.headers or {}), **({"Allow": _methods(request)} if error.status_code == 405 else {})}
    return refused(Refusal(error.status_code, said.get(error.status_code, sentence(str(error.detail))), headers))


def _methods(request: Request) -> str:
    """What the address takes; each method is a route of its own, and the framework names those of the first."""
    everything = chain(request.app.routes, *(router.routes for router in _ROUTERS))
    matching = [route for route in everything if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in matching for method in getattr(route, "methods", None) or ()}))


async def _refuse_parameter(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"][1:]) or "the request"
    return refused(Refusal(422, sentence(f"{where}: {first['msg']}")))


async def _fault(request: Request, error: Exception) -> Response:
    return refused(Refusal(500, "This is a fault of the server itself; its log says where."))
