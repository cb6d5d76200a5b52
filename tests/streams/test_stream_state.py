"""States as bytes: only those of the same run, whole, are taken; nothing else is ever done with them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

import unrolled as ur
from streams.streamed import (
    SERIES,
    SOUNDS,
    STEPS,
    TEXTS,
    classifier,
    forecaster,
    hearer,
    language,
    sample,
    tagger,
    transcriber,
)
from unrolled.data.signals import Sound, Strokes
from unrolled.errors import ArgumentError
from unrolled.streams.saved import Kept, pack, unpack

MODEL = language(units="word", cell="lstm", layers=2)
STREAM = MODEL.stream()
STREAM.push(TEXTS[0] + "an unfinished wo")
STATE = STREAM.state()


def parts(state: bytes) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    size = int.from_bytes(state[:8], "little")
    return load(state), json.loads(json.loads(state[8 : 8 + size])["__metadata__"]["stream"])


def changed(arrays: dict[str, np.ndarray] | None = None, **header: object) -> bytes:
    """The state with other arrays or header entries; `kept` is merged into."""
    own, head = parts(STATE)
    kept = {**head["kept"], **header.pop("kept", {})}  # type: ignore[dict-item]
    return save({**own, **(arrays or {})}, {"stream": json.dumps({**head, **header, "kept": kept})})


GO_ON = """
import sys
from pathlib import Path
from unrolled.tasks import open_run
folder = Path(sys.argv[1])
print(open_run(folder / "run").stream((folder / "state").read_bytes()).finish()["log_probability"])
"""


def test_a_state_goes_on_in_another_process(tmp_path: Path) -> None:
    assert MODEL.stream(changed()).state() == STATE
    assert len(STATE) < 4096
    model = ur.LanguageModel(hidden=8, units="word", epochs=1, threads=1).fit(TEXTS)
    model.save(tmp_path / "run")
    stream = model.model_.stream()
    stream.push(TEXTS[1] + "an unfinished wo")
    (tmp_path / "state").write_bytes(stream.state())
    words = [sys.executable, "-c", GO_ON, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)  # words of our own
    assert float(done.stdout) == pytest.approx(stream.finish()["log_probability"], rel=1e-6)


def test_another_run_refuses() -> None:
    words = "saved by a stream of another run, of the task 'language'; open the run that it is from"
    with pytest.raises(ArgumentError, match=words):
        classifier().stream(STATE)
    other = language(units="word", cell="lstm", layers=2)
    assert other.stream(STATE).steps == STREAM.steps
    next(iter(other.module.parameters())).data[0, 0] += 1e-3
    fresh = language(units="word", cell="lstm", layers=2)
    with_change = fresh.module.output.bias
    with_change.data.add_(0.1)
    with pytest.raises(ArgumentError, match=words):
        fresh.stream(STATE)


@given(st.integers(0, len(STATE) - 1), st.integers(1, 255))
def test_a_state_with_a_wrong_byte_is_refused_or_goes_on(place: int, change: int) -> None:
    data = bytearray(STATE)
    data[place] ^= change
    with contextlib.suppress(ArgumentError):
        MODEL.stream(bytes(data)).finish()


@given(st.integers(0, len(STATE) - 1))
def test_a_state_that_was_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ArgumentError, match="the state of the stream is damaged"):
        MODEL.stream(STATE[:size])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (b"", "it is cut short, or none of ours"),
        (save({}, {"stream": "[]"}), "it is cut short, or none of ours"),
        (save({}, {"other": "x"}), "it is cut short, or none of ours"),
        ((10 * 2**30).to_bytes(8, "little") + b"{}", "it is cut short, or none of ours"),
        (changed(format=2), "the state has the format 2 and this version reads 1"),
        (changed(steps=-1), "steps is -1"),
        (changed(steps=2.5), "steps is no int"),
        (changed(choices=3), "it does not say how the stream was opened"),
        (changed(kept={"input.held": 3}), "held is no str"),
        (changed({"network.layer0.h": np.zeros(9, np.float32)}), r"layer0.h has the shape \(9,\)"),
        (changed({"network.layer0.h": np.zeros(8, np.float64)}), "layer0.h is not an array of 1 axes of float32"),
        (changed({"network.layer1.c": np.full(8, np.nan, np.float32)}), "layer1.c is not finite"),
        (changed({"answer.last": np.full(2, 10**6)}), "id 1000000 is outside this vocabulary"),
        (changed({"answer.last": np.full(5, 3)}), r"last has the shape \(5,\)"),
    ],
)
def test_damaged_states_are_refused_in_a_sentence(state: bytes, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        MODEL.stream(state)


STRANGE = (
    lambda v: v[:0],
    lambda v: np.concatenate([v, v]),
    lambda v: v[None],
    lambda v: np.full_like(v, np.nan) if v.dtype.kind == "f" else v - 9,
    lambda v: np.full_like(v, 1e30) if v.dtype.kind == "f" else np.full_like(v, 2**40),
)


@pytest.mark.parametrize("name", ["sound", "pens", "speech", "rows", "pooled", "forecast"])
def test_a_strange_array_is_refused_or_goes_on(name: str) -> None:
    whole: Any
    if name == "sound":
        start, whole = hearer(pooling="attention")[0].stream, SOUNDS[1]
    elif name == "pens":
        start, whole = transcriber(Strokes(whole=False), reduction=3).stream, sample(Strokes(whole=False), 30)
    elif name == "speech":
        signal = Sound(8000, 6, steady=True)
        start, whole = transcriber(signal, reduction=2).stream, sample(signal, 25)
    elif name == "rows":
        start, whole = tagger(STEPS, "numbers", differences=True).stream, STEPS[0]
    elif name == "pooled":
        start, whole = classifier(convolutions=2, kernel=5, stride=2, pooling="mean").stream, "red green's"
    else:
        start, whole = forecaster(SERIES, known=SERIES).stream, np.concatenate([SERIES, SERIES], 1)
    choices = {"ahead": SERIES} if name == "forecast" else {}
    stream, half = start(**choices), len(whole) // 2
    stream.push(whole[:half])
    header, kept = unpack(stream.state())
    arrays = {key: value for key, value in kept.values.items() if isinstance(value, np.ndarray)}
    assert arrays
    for key, value in arrays.items():
        for strange in STRANGE:
            state = pack({**header, "format": 1}, Kept(**{**kept.values, key: strange(value)}))
            with contextlib.suppress(ArgumentError), np.errstate(all="ignore"):
                moved = start(state)
                moved.push(whole[half:])
                moved.finish()


def test_sound_that_was_never_scaled_is_refused() -> None:
    stream = hearer()[0].stream()
    sentence = "a sample is 12000 in size, and samples are numbers from -1 to 1; divide those of 16 bits by 32,768"
    with pytest.raises(ArgumentError, match=sentence):
        stream.push(np.array([3, -12000, 5], np.int16))
    assert stream.steps == 0


def test_a_state_is_bytes() -> None:
    with pytest.raises(ArgumentError, match="a state is bytes, and str was given; give what stream"):
        MODEL.stream("state")  # type: ignore[arg-type]
