"""Requests by chance from the server's own OpenAPI document: never a fault, always what the document promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from serve.serving import Client, classifier, language, regressor, served, serving, tagger
from unrolled.serve.limits import Limits

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance  # noqa: E402

# HYPOTHESIS_PROFILE=search tries many.
EXAMPLES = 3 if hypothesis.settings.default.derandomize else 100


@pytest.fixture(scope="module")
def server() -> Iterator[Client]:
    models = served(moods=classifier(), story=language(), sums=regressor(), tags=tagger())
    with serving(models, limits=Limits(max_sessions=40, slow_time=5)) as client:
        yield client


def test_requests_by_chance(server: Client) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    session = server.post("/models/moods/sessions").json["session"]
    operations = [result.ok() for result in schema.get_all_operations()]
    # A stream of events goes on for ever.
    chosen = [one for one in operations if not one.path.endswith("/events")]
    assert len(chosen) > 12
    statuses: set[int] = set()
    for operation in chosen:
        strategies = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]
        for strategy in strategies:
            try_requests(operation, strategy, session, statuses)
    assert statuses >= {200, 201, 404, 422} and not any(status >= 500 for status in statuses)


def try_requests(operation: Any, strategy: Any, session: str, statuses: set[int]) -> None:
    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    @hypothesis.given(case=strategy, real=hypothesis.strategies.booleans())
    def requests(case: Any, real: bool) -> None:
        # The document is one for all models, so it cannot say which inputs fit: that is for the model to accept.
        excluded = [positive_data_acceptance]
        if real and "{name}" in case.path:  # chance alone would hardly find one
            case.path_parameters["name"] = session if case.path.startswith("/sessions") else "moods"
            # The name may have been all that was wrong.
            excluded.append(negative_data_rejection)
        response = case.call(timeout=20)
        statuses.add(response.status_code)
        case.validate_response(response, excluded_checks=excluded)

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing in the request could be wrong
        requests()


def test_what_an_address_takes_is_named_in_full(server: Client) -> None:
    name = server.post("/models/moods/sessions", {"state": None, "choices": None}).json["session"]
    reply = server("OPTIONS", f"/sessions/{name}")
    assert reply.status == 405 and reply.headers["allow"] == "DELETE, GET" and "takes" in reply.error
