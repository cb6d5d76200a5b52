"""What the OpenAPI document says of bodies and answers that the routes read and write themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

Schema = dict[str, Any]


class Problem(BaseModel):
    """Why there is no answer, in one sentence."""

    error: str = Field(description="one sentence: what was given, what is needed, what to do")


_SAID = {
    400: "The body is no JSON, or no form.",
    401: "A key is needed.",
    403: "The request comes from another site.",
    404: "There is no such model or session.",
    408: "The body came too slowly.",
    409: "The session is in use, over, or at another step; or the model has none.",
    413: "The body is too large.",
    415: "The body is of another kind than is read.",
    422: "The body can be read and does not fit.",
    429: "Too much at once; the same may be sent again.",
    503: "The server is stopping.",
}


Replies = dict[int | str, Schema]


def problems(*statuses: int) -> Replies:
    """The refusals that a route may answer with."""
    return {status: {"model": Problem, "description": _SAID[status]} for status in (401, 403, *statuses)}


def replies(schema: Schema, said: str = "The answer.", kind: str = "application/json", status: int = 200) -> Replies:
    """What a route answers."""
    return {status: {"description": said, "content": {kind: {"schema": schema}}}}


def body(schema: Schema, *, needed: bool = True, form: Schema | None = None) -> Schema:
    """The body of a request, for `openapi_extra`: JSON, or a form."""
    content = {"application/json": {"schema": schema}}
    if form is not None:
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": needed, "content": content}}


def obj(properties: Schema, *required: str, closed: bool = True) -> Schema:
    """An object of these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        **({"additionalProperties": False} if closed else {}),
    }


def with_keys(document: Schema) -> Schema:
    """The document of a server that asks for a key."""
    schemes = {
        "key": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document.setdefault("components", {})["securitySchemes"] = schemes
    document["security"] = [{name: []} for name in schemes]
    for path in ("/health", "/ready"):
        document["paths"][path]["get"]["security"] = []
    return document


TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
ANY: Schema = {}
ROW: Schema = {"type": "object"}

MODEL = obj(
    {
        "name": TEXT,
        "task": TEXT,
        "input": ROW,
        "output": ROW,
        "options": ROW,
        "choices": ROW,
        "streams": {"type": "boolean"},
        "why_not": {"type": ["string", "null"]},
        "network": ROW,
        "links": ROW,
    },
    "name", "task", "input", "output", "options", "choices", "streams", "why_not", "network", "links",
)  # fmt: skip
MODELS = obj({"models": {"type": "array", "items": MODEL}, "limits": ROW}, "models", "limits")
INPUTS = obj(
    {
        "inputs": {
            "type": "array",
            "minItems": 1,
            "description": "texts, lists of words, rows of numbers, points of a pen: see the model's input.example",
        },
        "options": {"type": "object", "description": "see the model's options"},
    },
    "inputs",
)
FILES = obj(
    {
        "file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
        "options": {"type": "string", "description": "the options as JSON"},
    },
    "file",
)
PREDICTIONS = obj({"model": TEXT, "predictions": {"type": "array", "items": ROW}}, "model", "predictions")
SESSION = obj({"session": TEXT, "model": TEXT, "step": COUNT}, "session", "model", "step")
OPENING = obj(
    {
        "state": {"type": ["string", "null"], "description": "a state that was taken elsewhere"},
        "choices": {"type": ["object", "null"], "description": "how the task streams: see its page of the manual"},
    }
)
PUSH = obj(
    {
        "push": {"description": "the next part: a text, rows of numbers, samples, points"},
        "at": {"type": "integer", "minimum": 0, "description": "the step at which the stream must be"},
        "look": {"type": "boolean", "description": "also answer with the state"},
    },
    "push",
)
REPLY = obj({"answer": ANY, "step": COUNT, "state": ROW, "finished": {"type": "boolean"}}, "answer", "step")
STATE = obj({"state": TEXT, "step": COUNT}, "state", "step")
