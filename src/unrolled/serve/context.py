"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response

from unrolled.serve.batching import Batcher
from unrolled.serve.keys import Keys
from unrolled.serve.limits import Limits
from unrolled.serve.messages import dump
from unrolled.serve.metrics import Metrics
from unrolled.serve.model import Served
from unrolled.serve.refusal import Refusal
from unrolled.serve.sessions import Sessions
from unrolled.serve.work import Work


@dataclass(frozen=True)
class Context:
    """The models, their queues, the streams, and what is allowed."""

    models: Mapping[str, Served]
    batchers: Mapping[str, Batcher]
    sessions: Sessions
    work: Work
    limits: Limits
    keys: Keys = field(repr=False)
    metrics: Metrics

    def model(self, name: str | None) -> Served:
        """The model of that name, or without one the only one. Raises Refusal (404)."""
        if name is None:
            if len(self.models) > 1:
                raise Refusal(404, f"Several models are served; name one of {self._names()}: /models/NAME/...")
            return next(iter(self.models.values()))
        if name not in self.models:
            raise Refusal(404, f"There is no model of that name; served are {self._names()}.")
        return self.models[name]

    def _names(self) -> str:
        return ", ".join(self.models)

    def owner(self, connection: HTTPConnection) -> str:
        """Who speaks, by the key in a header. Raises Refusal (401)."""
        found = self.keys.owner(key_of(connection))
        if found is None:
            raise Refusal(
                401,
                "An API key is needed, and none or a wrong one was sent; send it as `Authorization: Bearer KEY`.",
                {"WWW-Authenticate": "Bearer"},
            )
        return found


def key_of(connection: HTTPConnection) -> str | None:
    """The key that a request brings."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return connection.headers.get("x-api-key")


def context_of(connection: HTTPConnection) -> Context:
    """The context of the server that a request came to."""
    found: Context = connection.app.state.context
    return found


def owner_of(connection: HTTPConnection) -> str:
    """Who speaks; a dependency of every route that needs a key."""
    return context_of(connection).owner(connection)


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(dump(value), status, media_type="application/json")
