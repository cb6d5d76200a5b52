"""Logs for machines: a JSON object a line, with what was done and how long it took, and nothing that a user sent."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import IO, Any

LOGGER = logging.getLogger("unrolled.serve")


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, event, and the fields that `event` was given.

    Of an exception only its type and the places in the code are told: its words may hold what a user sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
        }
        own = record.name == LOGGER.name
        # What a library writes is told without its arguments, which may be paths with a query in them.
        found["event"] = record.getMessage() if own else str(record.msg)
        found |= getattr(record, "told", {})
        if record.exc_info and record.exc_info[1] is not None:
            found |= fault(record.exc_info[1])
        return json.dumps(found, ensure_ascii=False)


def fault(error: BaseException) -> dict[str, Any]:
    """The type of an exception and where in the code it came from."""
    places = traceback.extract_tb(error.__traceback__)[-6:]
    return {
        "error": type(error).__name__,
        "at": [f"{place.name} ({place.filename}:{place.lineno})" for place in places],
    }


def start_logs(stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """Send our events and the warnings of the HTTP server to `stream` (standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name, least in ((LOGGER.name, level), ("uvicorn", logging.WARNING), ("asyncio", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False


def event(name: str, level: int = logging.INFO, error: BaseException | None = None, **told: Any) -> None:
    """Write one event; `told` are counts, times, names of models and routes, never content."""
    LOGGER.log(level, "%s", name, extra={"told": told}, exc_info=error)
