"""Models and their answers, health and metrics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from unrolled.errors import ArgumentError
from unrolled.serve import openapi as doc
from unrolled.serve.bodies import read_inputs
from unrolled.serve.context import answer, context_of, owner_of
from unrolled.serve.messages import dump
from unrolled.serve.metrics import CONTENT_TYPE
from unrolled.serve.refusal import Refusal

open_routes = APIRouter()
router = APIRouter(dependencies=[Depends(owner_of)])

Name = Annotated[str, Path(description="name of a model", max_length=64)]
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_MOST_DRAWN = 12


@open_routes.get("/health", summary="Whether the server is alive", responses=doc.replies(doc.obj({"status": doc.TEXT})))
async def health() -> Response:
    """Answers as long as the event loop turns."""
    return answer({"status": "ok"})


@open_routes.get(
    "/ready",
    summary="Whether the server takes requests",
    responses={**doc.replies(doc.obj({"status": doc.TEXT})), **doc.problems(503)},
)
async def ready(request: Request) -> Response:
    """503 while the server stops, so that no new requests are sent to it."""
    if context_of(request).sessions.stopping:
        raise Refusal(503, "The server is stopping.", {"Retry-After": "5"})
    return answer({"status": "ready"})


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    responses={**doc.replies(doc.TEXT, kind="text/plain"), **doc.problems()},
)
async def metrics(request: Request) -> Response:
    """Requests, times, batches, streams."""
    return Response(context_of(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/models", summary="The models", responses={**doc.replies(doc.MODELS), **doc.problems()})
async def models(request: Request) -> Response:
    """What each reads and answers, and the limits of a request."""
    context = context_of(request)
    described = [served.describe() for served in context.models.values()]
    return answer({"models": described, "limits": asdict(context.limits)})


@router.get("/models/{name}", summary="One model", responses={**doc.replies(doc.MODEL), **doc.problems(404, 422)})
async def model(name: Name, request: Request) -> Response:
    """What it reads and answers."""
    return answer(context_of(request).model(name).describe())


@router.get(
    "/models/{name}/drawing",
    summary="The network as SVG",
    responses={**doc.replies(doc.TEXT, kind="image/svg+xml"), **doc.problems(404, 422)},
)
async def drawing(
    name: Name,
    request: Request,
    view: Annotated[Literal["unrolled", "rolled", "cell"], Query(description="what is drawn")] = "unrolled",
    theme: Annotated[Literal["light", "dark"], Query(description="colours for light or for dark pages")] = "light",
    steps: Annotated[int | None, Query(ge=1, le=_MOST_DRAWN, description="steps of the unrolled picture")] = None,
) -> Response:
    """Rolled, unrolled, or the inside of its cell."""
    context = context_of(request)
    served = context.model(name)
    try:
        picture = await context.work.aside(lambda: served.drawing(view, theme, steps))
    except ArgumentError as error:
        raise Refusal.of(error) from None
    return Response(picture.encode(), media_type="image/svg+xml", headers={"Content-Security-Policy": _SVG_POLICY})


_PREDICT: dict[str, Any] = {
    "responses": {**doc.replies(doc.PREDICTIONS), **doc.problems(400, 404, 408, 413, 415, 422, 429)},
    "openapi_extra": doc.body(doc.INPUTS, form=doc.FILES),
}


@router.post("/predict", summary="Answers of the only model", **_PREDICT)
async def predict(request: Request) -> Response:
    """An answer for each input, in their order; where several models are served, name one instead."""
    return await _predict(request, None)


@router.post("/models/{name}/predict", summary="Answers of a model", **_PREDICT)
async def predict_of(name: Name, request: Request) -> Response:
    """An answer for each input, in their order."""
    return await _predict(request, name)


async def _predict(request: Request, name: str | None) -> Response:
    context = context_of(request)
    served = context.model(name)
    items, options = await read_inputs(request, context, served)
    rows = await context.batchers[served.name].answer(items, options)
    body = await context.work.aside(lambda: dump({"model": served.name, "predictions": rows}))
    return Response(body, media_type="application/json")
