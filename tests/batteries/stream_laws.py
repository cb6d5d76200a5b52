"""The laws of every stream: any cutting into parts, saved and loaded anywhere, gives what the whole sequence gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from unrolled.streams import Stream

# (state, choices) -> a stream of one run.
Open = Callable[..., Stream]


class Run(NamedTuple):
    """The answers of a stream, one a part, and the last."""

    parts: list[dict[str, Any]]
    final: dict[str, Any]


def follow(start: Open, parts: Sequence[Any], /, *, moved: bool = False, **choices: Any) -> Run:
    """The answers as the parts come; `moved`: to another stream by its saved state after each part."""
    stream = start(**choices)
    answers = []
    for part in parts:
        answers.append(stream.push(part))
        if moved:
            saved = stream.state()
            stream = start(saved)
            assert stream.state() == saved
    final = stream.finish()
    assert isinstance(stream, Stream)
    assert stream.steps == final["steps"]
    json.dumps([answers, final], allow_nan=False)
    return Run(answers, final)


def check_stream(start: Open, cuttings: Sequence[Sequence[Any]], final: Any, /, **choices: Any) -> None:
    """Each way to cut the input into parts ends in the answer `final`, moved or not, and moving changes no answer."""
    for parts in cuttings:
        stays, moves = (follow(start, parts, moved=moved, **choices) for moved in (False, True))
        assert near(stays.final, final), (stays.final, final)
        assert near(moves, stays, 1e-9)


def near(found: Any, wanted: Any, tolerance: float = 1e-5) -> bool:
    """Whether two answers are the same but for rounding."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(near(found[k], v, tolerance) for k, v in wanted.items())
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(near, found, wanted, [tolerance] * len(wanted)))
    if isinstance(wanted, float):
        return bool(found == pytest.approx(wanted, rel=tolerance, abs=tolerance))
    return bool(found == wanted)


def cuts(whole: Any, *places: Sequence[int]) -> list[list[Any]]:
    """The whole in one part, step by step, and cut at these places."""
    ways = [[], range(1, len(whole)), *places]
    return [[whole[a:b] for a, b in zip([0, *way], [*way, len(whole)], strict=True)] for way in ways]
