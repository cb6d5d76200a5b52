"""What the page's script needs, as plain data: activity in one byte a value, everything else rounded."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.inspect.arrays import plain
from unrolled.inspect.inspection import Reading
from unrolled.inspect.states import States, Trace, Unit
from unrolled.inspect.why import Attribution, Surprise

# Bytes of activity that a page holds at most; base64 makes four of three, and the page is to stay below 5 MB.
BUDGET = 2_700_000


def page_data(reading: Reading, budget: int = BUDGET) -> dict[str, Any]:
    """The reading as the page's script takes it."""
    return {
        "networks": [_network(reading, k, budget // len(reading.states)) for k in range(len(reading.states))],
        "followers": [f for name in sorted(reading.followers, key=_best(reading)) if (f := _follower(reading, name))],
        "surprise": None if reading.surprise is None else _surprise(reading.surprise, reading),
        "why": [_why(one) for one in reading.why],
    }


def _best(reading: Reading) -> Any:
    return lambda name: -reading.followers[name].score


def _network(reading: Reading, number: int, budget: int) -> dict[str, Any]:
    states = reading.states[number]
    liked = [one.unit for one in reading.followers.values()]
    traces = ordered(states)
    width = sum(trace.values.shape[1] for trace in traces)
    most = None if width * len(states) <= budget else max(4, budget // (len(states) * len(traces)))
    plane = reading.paths[number]
    return {
        "name": states.network,
        "labels": list(states.labels),
        "traces": [_trace(trace, most, liked) for trace in traces],
        "path": {"of": f"{plane.place} {plane.name}", "points": rounded(plane.points, 3)},
    }


def ordered(states: States) -> list[Trace]:
    """States before gates, the last layer first."""
    return sorted(states.traces, key=lambda t: (t.kind == "gate", -t.place.layer, t.place.backward))


def _trace(trace: Trace, most: int | None, liked: Sequence[Unit]) -> dict[str, Any]:
    """One trace, unit after unit; where not all fit, those that patterns asked for and those that move most."""
    values = trace.values.astype(np.float64)
    units = list(range(values.shape[1]))
    if most is not None and most < len(units):
        wanted = [u.number for u in liked if (u.place, u.name) == (trace.place, trace.name)]
        moving = np.argsort(-values.std(0), kind="stable").tolist()
        units = sorted(list(dict.fromkeys([*wanted, *moving]))[:most])
    scales, data = packed(values[:, units])
    return {
        "name": trace.name, "place": str(trace.place), "kind": trace.kind, "units": units, "of": values.shape[1],
        "scales": scales, "data": data,
    }  # fmt: skip


def packed(values: npt.NDArray[np.floating]) -> tuple[list[float], str]:
    """Values (T, U) as the largest size of each unit and base64 of int8 (U, T), 127 being that size; NaN becomes 0."""
    known = np.where(np.isfinite(values), values, 0.0)
    scales = np.abs(known).max(0, initial=0.0)
    small = np.round(known / np.where(scales > 0, scales, 1.0) * 127).T.astype(np.int8)
    return [float(f"{scale:.4g}") for scale in scales], base64.b64encode(np.ascontiguousarray(small).tobytes()).decode()


def _follower(reading: Reading, name: str) -> dict[str, Any] | None:
    """Where the page has the unit that follows a pattern best; None where it is no unit of the first network."""
    one = reading.followers[name]
    places = [(str(t.place), t.name) for t in ordered(reading.states[0])]
    wanted = (str(one.unit.place), one.unit.name)
    if wanted not in places:
        return None
    return {
        "pattern": name,
        "trace": places.index(wanted),
        "unit": one.unit.number,
        "score": round(one.score, 3),
        "sign": 1 if one.correlation > 0 else -1,
    }


def _surprise(found: Surprise, reading: Reading) -> dict[str, Any]:
    """`aligned`: there is an answer at every step; `ahead`: each says what the next step is, as in a language model."""
    steps = reading.states[0].labels
    ahead = found.answers[:-1] == steps[1:] and len(found.answers) == len(steps) > 1
    return {
        "answers": list(found.answers),
        "likely": [list(row) for row in found.likely],
        "probabilities": rounded(found.probabilities, 4),
        "entropy": rounded(found.entropy, 3),
        "nats": rounded(found.nats, 3),
        "aligned": ahead or found.answers == steps,
        "ahead": ahead,
    }


def _why(one: Attribution) -> dict[str, Any]:
    return {"method": one.method, "labels": list(one.labels), "contributions": rounded(one.contributions, 5),
            "answer": one.answer, "output": one.output, "score": plain(one.score)}  # fmt: skip


def rounded(values: npt.NDArray[np.floating], places: int) -> Any:
    """An array as lists of short numbers; what is not finite becomes null."""
    return plain(np.round(values.astype(np.float64), places))
