"""Requests that wait together are computed together, and no row goes to another's request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.serving import RNG, WORDS, classifier, served, serving
from unrolled.errors import ArgumentError
from unrolled.serve.answers import Row
from unrolled.serve.batching import Batcher, together
from unrolled.serve.intake import Item
from unrolled.serve.limits import Limits
from unrolled.serve.metrics import Metrics
from unrolled.serve.model import Served
from unrolled.serve.refusal import Refusal
from unrolled.serve.work import Work


class Echo:
    """In the place of a served model: says its inputs back, and remembers what it was given at once."""

    name = "echo"

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.go = threading.Event()

    def answers(self, inputs: Sequence[Any], options: Any) -> list[Row]:
        assert self.go.wait(20)
        self.batches.append(list(inputs))
        if "bad" in inputs:
            raise ArgumentError("bad cannot be read; give another")
        if "broken" in inputs:
            raise ZeroDivisionError
        return [{"said": value, "options": dict(options)} for value in inputs]


def run(requests: Sequence[tuple[list[str], Any]], limits: Limits) -> tuple[list[Any], list[list[Any]]]:
    """What each request is answered, all of them waiting when the first batch is computed; and the batches."""
    echo: Any = Echo()
    work = Work()

    async def all_of_them() -> list[Any]:
        batcher = Batcher(echo, work, limits, Metrics(lambda: 0, lambda: 0))
        tasks = [
            asyncio.create_task(batcher.answer([Item(value, len(value)) for value in values], options))
            for values, options in requests
        ]
        await asyncio.sleep(0.01)
        echo.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    try:
        return asyncio.run(all_of_them()), echo.batches
    finally:
        work.close()


def test_what_waits_together_is_computed_together() -> None:
    names = [f"request {number}" for number in range(20)]
    found, batches = run([([name, name.upper()], ()) for name in names], Limits(batch=16, batch_wait=0.001))
    assert [[row["said"] for row in rows] for rows in found] == [[name, name.upper()] for name in names]
    assert len(batches) < 6 and max(map(len, batches)) > 2
    assert sorted(value for batch in batches for value in batch) == sorted([*names, *map(str.upper, names)])


def test_other_options_are_another_batch() -> None:
    asked = [(["a"], (("count", 1),)), (["b"], (("count", 2),)), (["c"], (("count", 2),))]
    found, batches = run(asked, Limits(batch_wait=0.001))
    assert [rows[0]["options"]["count"] for rows in found] == [1, 2, 2]
    assert [sorted(batch) for batch in batches] == [["a"], ["b", "c"]]


def test_a_request_that_fails_fails_alone() -> None:
    found, _ = run([(["a"], ()), (["bad"], ()), (["b"], ()), (["broken"], ())], Limits(batch_wait=0.001))
    assert found[0][0]["said"] == "a" and found[2][0]["said"] == "b"
    assert isinstance(found[1], Refusal) and found[1].status == 422
    assert isinstance(found[3], ZeroDivisionError)


def test_too_many_that_wait_are_refused() -> None:
    found, _ = run([([str(number)], ()) for number in range(12)], Limits(max_waiting=5, batch_wait=0.001))
    refused = [one for one in found if isinstance(one, Refusal)]
    assert len(refused) == 7 and {one.status for one in refused} == {429}
    assert refused[0].headers["Retry-After"]


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 200))
def test_padded_together_they_are_no_more_than_the_limit(steps: list[int], most: int) -> None:
    groups = list(together(steps, most))
    assert sorted(place for group in groups for place in group) == list(range(len(steps)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(steps[place] for place in group) <= most


def test_concurrent_requests_get_their_own_rows() -> None:
    texts = [" ".join(RNG.choice(WORDS, size)) for size in RNG.integers(1, 30, size=60)]
    model = classifier()
    sizes: list[int] = []

    class Watched(Served):
        def answers(self, inputs: Sequence[Any], options: Any) -> list[Row]:
            sizes.append(len(inputs))
            return super().answers(inputs, options)

    one = served(moods=model)["moods"]
    watched = Watched(one.name, one.model, one.intake, one.no_stream)
    with serving({"moods": watched}, limits=Limits(batch_wait=0.02)) as client, ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda text: client.post("/predict", {"inputs": [text]}), texts))
        counted = client.get("/metrics").body.decode()
    probabilities = [list(reply.json["predictions"][0]["probabilities"].values()) for reply in replies]
    np.testing.assert_allclose(probabilities, model.probabilities(texts), atol=1e-5)
    assert sum(sizes) == len(texts) and max(sizes) > 1
    assert f'unrolled_batch_rows_sum{{model="moods"}} {len(texts)}' in counted


@pytest.mark.parametrize("name", ["max_body", "max_steps", "idle_time", "batch"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name}=0 must be more than 0"):
        Limits(**{name: 0})
