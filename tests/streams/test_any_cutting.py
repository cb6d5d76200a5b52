"""The law of streams by chance: however the input is cut, and wherever the stream is moved by its state."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batteries.stream_laws import near
from streams.streamed import (
    ROWS,
    SENTENCES,
    SERIES,
    SOUNDS,
    TEXTS,
    classifier,
    forecaster,
    hearer,
    language,
    regressor,
    sample,
    tagger,
    transcriber,
)
from unrolled.data.signals import Sound, Strokes
from unrolled.streams import Stream


class Case(NamedTuple):
    """A way to open streams, an input that can be sliced, and what of the answers must be the same."""

    start: Callable[..., Stream]
    whole: Any
    gather: Callable[[list[dict[str, Any]]], Any]


def last(answers: list[dict[str, Any]]) -> Any:
    return answers[-1]


def tags(answers: list[dict[str, Any]]) -> Any:
    return [tag for answer in answers for tag in answer["tags"]]


def units(answers: list[dict[str, Any]]) -> Any:
    read = [unit for answer in answers for unit in answer["units"]]
    return read, answers[-1]["log_probability"], answers[-1]["next"], answers[-1]["steps"]


@cache
def case(name: str) -> Case:
    if name.startswith("language"):
        return Case(language(units=name.partition(" ")[2]).stream, TEXTS[5] + "it's ", units)
    if name == "forecast":
        return Case(forecaster(SERIES, joint=True).stream, SERIES[:40], last)
    if name == "tag words":
        return Case(tagger(SENTENCES, "words").stream, " ".join(map(str, SENTENCES[3])), tags)
    if name == "tag rows":
        return Case(tagger(ROWS_OF_THREE, "numbers", differences=True).stream, ROWS_OF_THREE[0], tags)
    if name.startswith("transcribe"):
        signal = Sound(8000, 6, steady=True) if name.endswith("sound") else Strokes(whole=False)
        model = transcriber(signal, reduction=3)
        return Case(lambda *state: model.stream(*state, **({} if state else {"beam": 3})), sample(signal, 25), last)
    if name == "classify sound":
        return Case(hearer()[0].stream, SOUNDS[0], last)
    if name == "regress":
        return Case(regressor(pooling="attention").stream, ROWS[3], last)
    return Case(classifier(units="word", pooling="mean").stream, TEXTS[5], last)


ROWS_OF_THREE = [np.random.default_rng(2).normal(size=(20, 3)).astype(np.float32)]
CASES = (
    "language char", "language word", "language byte", "classify", "classify sound", "regress", "tag words", "tag rows",
    "forecast", "transcribe sound", "transcribe strokes",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12)
@given(data=st.data())
def test_any_cutting_with_any_moves(name: str, data: st.DataObject) -> None:
    start, whole, gather = case(name)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    moves = data.draw(st.sets(st.integers(0, len(places))))
    stream = start()
    answers = []
    for number, (a, b) in enumerate(zip([0, *places], [*places, len(whole)], strict=True)):
        answers.append(stream.push(whole[a:b]))
        if number in moves:
            stream = start(stream.state())
    answers.append(stream.finish())
    alone = start()
    assert near(gather(answers), gather([alone.push(whole), alone.finish()]), 2e-5)
