"""Transcribers part by part: sound, strokes, features; greedy, by a beam, and with a language model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from batteries.stream_laws import check_stream, cuts, follow
from streams.streamed import SAID, sample, stirred, transcriber
from unrolled.cells import names
from unrolled.data.arrays import Numbers
from unrolled.data.signals import Features, Sound, Strokes
from unrolled.errors import ArgumentError
from unrolled.streams.transcript import TranscribeChoices
from unrolled.tasks import TASKS
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.streams.transcribing import search_of
from unrolled.tasks.transcribe import TranscribeTask


def whole(model: TranscribeTask, arrives: Numbers, **choices: Any) -> str:
    kept = model.signal.mel(arrives) if isinstance(model.signal, Sound) else arrives
    search, _ = search_of(model, TranscribeChoices(**choices))
    (text,) = model.transcribe([kept], search)
    return text


def check(model: TranscribeTask, arrives: Numbers, cuttings: list[list[Any]], **choices: Any) -> None:
    kept = model.signal.mel(arrives) if isinstance(model.signal, Sound) else arrives
    text = whole(model, arrives, **choices)
    assert text
    helper = {"language": choices["language"]} if "language" in choices else {}
    check_stream(
        lambda state=None, **new: model.stream(state, **(helper if state is not None else new)),
        cuttings,
        {"text": text, "steps": len(kept)},
        **choices,
    )


@pytest.mark.parametrize("cell", names())
def test_every_cell_writes_down_features_as_they_come(cell: str) -> None:
    model = transcriber(Features(3), cell=cell, reduction=2, hidden=16)
    arrives = sample(model.signal, 31)
    check(model, arrives, cuts(arrives, [6, 7, 18]))


@pytest.mark.parametrize("options", [{"reduction": 1}, {"reduction": 3}, {"reduction": 4, "reduce_by": "pyramid"}])
@pytest.mark.parametrize("choices", [{}, {"beam": 3, "bonus": 1.0}])
def test_steps_that_are_joined_wait_for_each_other(options: dict[str, Any], choices: dict[str, Any]) -> None:
    model = transcriber(Strokes(whole=False), **options)
    arrives = sample(model.signal, 29)
    check(model, arrives, cuts(arrives, [1, 2, 13]), **choices)


def test_a_greedy_text_only_grows() -> None:
    model = transcriber(Features(3), reduction=1)
    arrives = sample(model.signal, 60)
    seen = [answer["text"] for answer in follow(model.stream, cuts(arrives)[1]).parts]
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
    assert len(seen[0]) < len(seen[-1])


@pytest.mark.parametrize("choices", [{}, {"beam": 2}])
def test_sound_in_parts_of_any_length(choices: dict[str, Any]) -> None:
    model = transcriber(Sound(8000, 6, steady=True), reduction=2)
    arrives = sample(model.signal, 30)
    ways = [[arrives], np.split(arrives, [7, 800, 801, 1500]), [*np.split(arrives, range(160, 2400, 160))]]
    check(model, arrives, ways, **choices)
    check(model, arrives, [[arrives.tolist(), []]], **choices)


@pytest.mark.parametrize("units", ["char", "word"])
def test_a_language_model_helps_on_both_sides_of_a_move(units: str) -> None:
    settings = TASKS["language"].options(hidden=8, embedding=4, units=units)
    helper = stirred(LanguageTask.build(Parts(SAID), settings))
    model = transcriber(Features(3), reduction=1)
    arrives = sample(model.signal, 25)
    check(model, arrives, cuts(arrives, [4, 11]), beam=3, bonus=2.0, weight=1.0, language=helper)
    stream = model.stream(beam=3, language=helper)
    stream.push(arrives[:5])
    with pytest.raises(ArgumentError, match="helped by another language model, or by none; give the same one again"):
        model.stream(stream.state())
    with pytest.raises(ArgumentError, match="language is int; give a fitted LanguageModel or a run of language"):
        model.stream(language=3)


def test_what_needs_the_whole_is_refused() -> None:
    with pytest.raises(ArgumentError, match="reads in both directions, so it needs the whole input; train with"):
        transcriber(Features(3), causal=False).stream()
    with pytest.raises(ArgumentError, match="the features of this run need a whole sample; train with --causal"):
        transcriber(Sound(8000, 6)).stream()
    model = transcriber(Sound(8000, 6, steady=True))
    with pytest.raises(ArgumentError, match="number 1 of row 2 of the part is nan; give a finite one"):
        model.stream().push([0.1, float("nan")])
    with pytest.raises(ArgumentError, match="the beam is 0 wide"):
        model.stream(beam=0)
