"""Classifiers, regressors and language models step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batteries.stream_laws import check_stream, cuts, follow, near
from streams.streamed import RNG, ROWS, SOUNDS, TEXTS, classifier, hearer, language, regressor, stirred
from unrolled.cells import names
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import TASKS
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.sequences import Examples


def verdict(model: ClassifyTask, whole: Any) -> dict[str, Any]:
    """What `predict` and `probabilities` say of the whole."""
    (found,) = model.probabilities([whole])
    p = dict(zip(map(str, model.classes), found.tolist(), strict=True))
    (label,) = model.predict([whole])
    steps = len(model.encode([whole])[0])
    return {("labels" if model.several else "label"): label, "probabilities": p, "steps": steps}


@pytest.mark.parametrize("cell", names())
def test_every_cell_reads_on_from_its_state(cell: str) -> None:
    options = {"cell": cell, "hidden": 16}
    model, text = language(**options), TEXTS[0][:20]
    stream = model.stream()
    for unit in text:
        stream.push(unit)
    assert -stream.finish()["log_probability"] == pytest.approx(model.score([text])[0].nats, rel=1e-5)
    labels = classifier(**options)
    check_stream(labels.stream, cuts(text, [3, 11]), verdict(labels, text))


def test_a_push_of_one_step_calls_the_compiled_step() -> None:
    model = language(hidden=16, layers=2)
    stream = model.stream()
    stream.push("red")
    stream.push("r")
    bound = stream.network.layers.bound  # type: ignore[attr-defined]  # torch's network
    assert bound is not None
    calls: list[int] = []
    steps = bound.steps
    bound.steps = [lambda x, state, step=step: calls.append(1) or step(x, state) for step in steps]
    answer = stream.push("g")
    assert len(calls) == 2
    again = model.stream()
    assert near(again.push("redrg")["next"], answer["next"])


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("options", [{}, {"convolutions": 2, "kernel": 5, "stride": 2}, {"units": "word", "layers": 2}])
def test_a_verdict_is_that_of_the_text_so_far(pooling: str, options: dict[str, Any]) -> None:
    model, text = classifier(pooling=pooling, **options), TEXTS[1]
    check_stream(model.stream, cuts(text, [1, 2, 30], [0, 0, 7]), verdict(model, text))
    if not options:
        seen = follow(model.stream, list(text)).parts
        for place in (0, 4, 25):
            assert seen[place]["probabilities"] == pytest.approx(
                verdict(model, text[: place + 1])["probabilities"], abs=1e-5
            )


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 4), (3, 1), (3, 5), (9, 2)])
@settings(max_examples=15)
@given(places=st.lists(st.integers(0, 30), max_size=6))
def test_convolutions_wait_for_what_they_see(kernel: int, stride: int, places: list[int]) -> None:
    model = CONVOLVED.setdefault(
        (kernel, stride), classifier(ROWS, convolutions=2, kernel=kernel, stride=stride, pooling="mean")
    )
    check_stream(model.stream, cuts(ROWS[3], sorted(places))[2:], verdict(model, ROWS[3]))


CONVOLVED: dict[tuple[int, int], ClassifyTask] = {}


def test_missing_numbers_are_the_last_ones_known() -> None:
    holes = [np.where(RNG.random(row.shape) < 0.3, np.nan, row).astype(np.float32) for row in ROWS]
    model = classifier(holes, convolutions=0)
    assert model.marks
    check_stream(model.stream, cuts(holes[0], [2, 3]), verdict(model, holes[0]))
    as_json = [[None if np.isnan(x) else float(x) for x in row] for row in holes[0]]
    check_stream(model.stream, cuts(as_json, [2, 3]), verdict(model, holes[0]))
    plain = classifier(ROWS, convolutions=0)
    check_stream(plain.stream, cuts(holes[0], [4]), verdict(plain, holes[0]))


def test_several_labels_positions_and_dna() -> None:
    torch.manual_seed(5)
    examples = Examples(TEXTS, [("a",), (), ("a", "b"), ("b",), ("a",), ("c",), (), ("b",)])
    settings = TASKS["classify"].options(hidden=6, embedding=5, bidirectional=False, units="char", positions=True)
    model = stirred(ClassifyTask.build(Parts(examples), settings))
    expected = verdict(model, TEXTS[2])
    check_stream(model.stream, cuts(TEXTS[2], [9]), {**expected, "labels": list(expected["labels"])})
    for k in (1, 3):
        bases = ["".join(RNG.choice(list("ACGT"), 14)) for _ in range(6)]
        dna = classifier(bases, read_as="dna", kmer=k)
        check_stream(dna.stream, cuts(bases[0].lower(), [1, 2, 13]), verdict(dna, bases[0]))
    assert follow(dna.stream, ["a", " c"]).final["probabilities"] == pytest.approx(verdict(dna, "AC")["probabilities"])
    with pytest.raises(DataError, match="'!' at place 2 of this sequence is no base"):
        dna.stream().push("A!")
    with pytest.raises(DataError, match="the sequence has no bases; push some before the end"):
        dna.stream().finish()


def test_numbers_of_a_regressor_are_in_their_own_units() -> None:
    model = regressor()
    (values,) = model.predict([ROWS[0]]).tolist()
    check_stream(model.stream, cuts(ROWS[0], [4]), {"values": dict(zip("xy", values, strict=True)), "steps": 11})
    texts = regressor(TEXTS, text="text", pooling="mean")
    (values,) = texts.predict([TEXTS[0]]).tolist()
    steps = len(texts.encode([TEXTS[0]])[0])
    check_stream(texts.stream, cuts(TEXTS[0], [5, 6]), {"values": dict(zip("xy", values, strict=True)), "steps": steps})


@pytest.mark.parametrize("units", ["char", "word", "subword", "byte"])
@pytest.mark.parametrize("ends", [True, False])
def test_surprise_sums_to_the_score_and_next_is_what_completes(units: str, ends: bool) -> None:
    model = language(units=units, vocabulary_size=300 if units == "subword" else None)
    model.ends = ends
    text = TEXTS[3] + "gre"
    names = [model.vocabulary.token(unit) for unit in model.vocabulary.encode(text)]
    nats, end = model.score([text])[0].nats, border_cost(model, text) if ends else 0.0
    complete = [{"unit": name, "probability": p} for name, p in model.complete(text, 4, single=True)]
    for parts in cuts(text, [7, 8]):
        for moved in (False, True):
            answers, final = follow(model.stream, parts, moved=moved, next=4)
            read = [unit for answer in (*answers, final) for unit in answer["units"]]
            assert [unit["unit"] for unit in read] == names
            assert -final["log_probability"] == pytest.approx(nats, rel=1e-5)
            assert sum(unit["surprise"] for unit in read) + end == pytest.approx(nats, rel=1e-5)
            assert near(final["next"], complete)
            assert final["steps"] == len(names)


def border_cost(model: LanguageTask, text: str) -> float:
    """What the end costs, by the list of all that may come next."""
    everything = dict(model.complete(text, len(model.vocabulary), single=True))
    return -float(np.log(everything[""]))


@pytest.mark.parametrize("units", ["char", "word", "byte"])
def test_text_goes_on_from_the_present_state_and_the_stream_stays(units: str) -> None:
    model, prompt = language(units=units), TEXTS[4][:-4] + "é"
    stream = model.stream()
    stream.push(prompt)
    stream = model.stream(stream.state())
    before = stream.state()
    pieces = stream.generate(30, seed=5, temperature=1.5, top_k=9)
    first = next(pieces)
    assert stream.state() == before
    stream.push("x ")
    expected = "".join(model.generate(prompt, 30, seed=5, temperature=1.5, top_k=9))
    assert first + "".join(pieces) == expected
    assert "".join(model.stream().generate(9, seed=1)) == "".join(model.generate("", 9, seed=1))
    with pytest.raises(ArgumentError, match="length is 0, it must be 1 or more"):
        stream.generate(0)


def test_a_finished_stream_reads_no_more() -> None:
    stream = language().stream()
    stream.push("red")
    stream.finish()
    for go_on in (stream.finish, lambda: stream.push("a"), lambda: stream.generate(3)):
        with pytest.raises(ArgumentError, match="the stream is finished, so nothing more can be read; open another"):
            go_on()
    again = language().stream(stream.state())
    with pytest.raises(ArgumentError, match="the stream is finished"):
        again.push("a")


def test_bad_parts_and_choices_are_refused_and_change_nothing() -> None:
    stream, rows = language().stream(), regressor().stream()
    with pytest.raises(ArgumentError, match="a part is bytes, and this stream reads text; give str"):
        stream.push(b"red")
    for part, words in (
        ([[1.0, 2.0, 3.0]], r"has the shape \(1, 3\), and this stream reads rows \(N, 2\)"),
        ([["a", "b"]], r"is no array of numbers; give rows of 2 numbers \(N, 2\)"),
        ([[0.0, 1.0], [0.0, float("inf")]], "number 2 of row 2 of the part is inf; give a finite one"),
        ([[0.0, None]], "number 2 of row 1 of the part is nan; give a finite one"),
        ([[1e39, 0.0]], "number 1 of row 1 of the part is 1e"),
        (np.zeros((1, 2, 2)), r"the shape \(1, 2, 2\)"),
    ):
        before = rows.state()
        with pytest.raises(ArgumentError, match=words):
            rows.push(part)
        assert rows.state() == before
    with pytest.raises(ArgumentError, match="'beam' is no choice of this stream, which has: next; leave it out"):
        language().stream(beam=3)
    with pytest.raises(ArgumentError, match="'next' is no choice of this stream, which has: none"):
        classifier().stream(next=3)
    with pytest.raises(ArgumentError, match="next=-1 must be a whole number from 0"):
        language().stream(next=-1)
    saved = language().stream(next=2).state()
    assert len(language().stream(saved).push("a")["next"]) == 2
    with pytest.raises(ArgumentError, match="next=3 was given, and the stream was opened with next=2; leave it out"):
        language().stream(saved, next=3)


def test_a_run_that_reads_backwards_has_no_stream() -> None:
    with pytest.raises(ArgumentError, match="this run reads in both directions, so it needs the whole input; train"):
        classifier(bidirectional=True).stream()
    bases = ["ACGT", "GGCA", "TTTA", "CAGC"]
    with pytest.raises(ArgumentError, match="reads DNA on both strands, and the other one begins at the end"):
        classifier(bases, read_as="dna", both_strands=True).stream()


@pytest.mark.parametrize("options", [{}, {"pitch": False, "hop": 0.025}, {"stride": 1, "convolutions": 0}])
def test_a_sound_is_judged_while_it_is_heard(options: dict[str, Any]) -> None:
    model, reading = hearer(pooling="mean", **options)
    for sound in SOUNDS:
        whole = reading.heard(sound)
        one_by_one = [*np.split(sound[:170], range(1, 170)), sound[170:]]
        ways = [[sound], np.split(sound, [1, len(sound) // 3]), one_by_one if len(sound) > 4000 else [sound.tolist()]]
        check_stream(model.stream, ways, verdict(model, whole))
    stream, held = model.stream(), []
    for _ in range(30):
        stream.push(SOUNDS[0])
        held.append(len(stream.state()))
    assert max(held[5:]) - min(held[5:]) < 1000  # some samples more or less wait for the next step


def test_a_sound_that_has_to_be_whole_has_no_stream() -> None:
    model, reading = hearer()
    for other, sentence in (
        (replace(reading, steady=False), "hears a sound against its own loudest moment, so it needs all of it; train"),
        (replace(reading, centre=True), "takes the mean off a sound, so it needs all of it; train it without --centre"),
    ):
        model.reading = other
        with pytest.raises(ArgumentError, match=sentence):
            model.stream()
