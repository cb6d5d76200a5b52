"""Taggers step by step: words, rows of numbers, frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from batteries.stream_laws import cuts, follow, near
from streams.streamed import FILMS, SENTENCES, STEPS, tagger
from unrolled.cells import names
from unrolled.errors import ArgumentError
from unrolled.tasks.tag import TagTask


def tags_of(model: TagTask, sequence: Any) -> list[dict[str, Any]]:
    """The whole sequence's answer in the form of a stream's."""
    (labels,), (found,) = model.predict([sequence]), model.probabilities([sequence])
    return [
        {"label": label, "probabilities": dict(zip(map(str, model.classes), p.tolist(), strict=True))}
        for label, p in zip(labels, found, strict=True)
    ]


def check(model: TagTask, sequence: Any, cuttings: list[list[Any]]) -> None:
    """The tags of all answers, one after the other, are those of the whole, moved by the state or not."""
    wanted = tags_of(model, sequence)
    for parts in cuttings:
        for moved in (False, True):
            answers, final = follow(model.stream, parts, moved=moved)
            assert near([tag for answer in (*answers, final) for tag in answer["tags"]], wanted)
            assert final["steps"] == len(wanted)


@pytest.mark.parametrize("cell", names())
def test_every_cell_tags_rows_as_they_come(cell: str) -> None:
    model = tagger(STEPS, "numbers", cell=cell, hidden=16)
    check(model, STEPS[0], cuts(STEPS[0], [5]))


@pytest.mark.parametrize("options", [{"differences": True}, {"differences": False, "layers": 2}, {"drift": 0.3}])
def test_rows_are_scaled_as_in_the_whole(options: dict[str, Any]) -> None:
    model = tagger(STEPS, "numbers", **options)
    check(model, STEPS[1], [*cuts(STEPS[1], [0, 3]), list(STEPS[1]), STEPS[1].tolist()])


def test_words_may_be_cut_anywhere() -> None:
    model = tagger(SENTENCES, "words")
    words = [str(word) for word in SENTENCES[0]]
    text = " ".join(words)
    check(model, tuple(words), [*cuts(words, [2]), *cuts(text, [5, 9]), [text[:5], [], text[5:] + "\n"]])
    stream = model.stream()
    assert [len(stream.push(part)["tags"]) for part in ("Th", "e", " dog", ["Barks"], "")] == [0, 0, 1, 2, 0]


def test_frames_of_a_film() -> None:
    model = tagger(FILMS, "frames", embedding=6)
    check(model, FILMS[0], [*cuts(FILMS[0], [2]), list(FILMS[0])])
    with pytest.raises(ArgumentError, match=r"has the shape \(1, 8, 8, 3\) of float64, and this stream reads frames"):
        model.stream().push(np.zeros((1, 8, 8, 3)))


def test_what_cannot_be_answered_step_by_step_is_refused() -> None:
    with pytest.raises(ArgumentError, match="so it cannot answer step by step; train it with causal"):
        tagger(STEPS, "numbers", causal=False).stream()
    model = tagger(STEPS, "numbers", causal=False, bidirectional=False, scaling="itself")
    with pytest.raises(ArgumentError, match="brings each sequence to mean 0 by itself, which needs the whole of it"):
        model.stream()
    with pytest.raises(ArgumentError, match="a part is no list of words, and this stream reads words; give"):
        tagger(SENTENCES, "words").stream().push([["dog"]])
