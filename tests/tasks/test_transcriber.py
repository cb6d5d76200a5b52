from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from tasks.pens import SMALL, texts, written
from unrolled.errors import ArgumentError, DataError


@pytest.fixture(scope="module")
def pens() -> tuple[list[Any], list[str]]:
    rng = np.random.default_rng(0)
    said = texts(rng, 80)
    return [[np.array(stroke) for stroke in written(text, rng)] for text in said], said


@pytest.fixture(scope="module")
def model(pens: tuple[list[Any], list[str]]) -> ur.Transcriber:
    X, y = pens
    return ur.Transcriber(**SMALL, epochs=30, augment=0.2, validation=0.0, causal=True, threads=1).fit(X, y)


def test_strokes_are_written_down(model: ur.Transcriber, pens: tuple[list[Any], list[str]], tmp_path: Path) -> None:
    X, y = pens
    assert model.score(X, y) > 0.9
    answers = model.predict(X[:5])
    assert sum(a == b for a, b in zip(answers, y, strict=False)) >= 3
    model.save(tmp_path / "run")
    for again in (ur.load(tmp_path / "run"), pickle.loads(pickle.dumps(model))):
        assert isinstance(again, ur.Transcriber)
        assert again.predict(X[:5]) == answers
        assert again.get_params() == model.get_params()


def test_each_symbol_has_its_time(model: ur.Transcriber, pens: tuple[list[Any], list[str]]) -> None:
    X, y = pens
    (found,) = model.align(X[:1], y[:1])
    assert "".join(symbol.symbol for symbol in found) == y[0]
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_a_stream_ends_with_the_text_of_the_whole(model: ur.Transcriber, pens: tuple[list[Any], list[str]]) -> None:
    X, _ = pens
    stream = model.stream()
    for stroke in X[3]:
        stream.push(np.concatenate([stroke, np.eye(len(stroke), 1)], axis=1).astype(np.float32))
    assert [stream.finish()["text"]] == model.predict(X[3:4])


def test_sound_and_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sounds = [rng.normal(size=rng.integers(3000, 5000)).astype(np.float32) for _ in range(6)]
    small = {**SMALL, "hidden": 4, "epochs": 1, "threads": 1}
    heard = ur.Transcriber(**small, rate=8000).fit(sounds, list("ababab"))
    assert len(heard.predict(sounds)) == 6
    assert (heard.model_.signal.kind, heard.model_.signal.rate) == ("sound", 8000)
    values = [rng.normal(size=(rng.integers(5, 9), 3)) for _ in range(6)]
    seen = ur.Transcriber(**small).fit(values, list("ababab"))
    assert seen.model_.signal.count == 3
    with pytest.raises(ArgumentError, match=r"X\[0\] has the shape \(4, 2\), \(T, 3\) is needed"):
        seen.predict([np.zeros((4, 2))])
    with pytest.raises(ArgumentError, match=r"X\[0\] has the shape \(4, 2\), samples \(N,\) is needed"):
        heard.predict([np.zeros((4, 2))])
    again = ur.Transcriber(**small)
    again.set_params(from_run=tmp_path / "run")
    heard.save(tmp_path / "run")
    assert again.fit(sounds, list("bababa")).model_.signal == heard.model_.signal


def write_tones(path: Path, text: str, rng: np.random.Generator) -> None:
    """A tone of 0.1 s for each letter, 0.05 s of quiet after it."""
    soundfile = pytest.importorskip("soundfile")
    time = np.arange(800) / 8000
    tones = [np.pad(0.2 * np.sin(600 * np.pi * (1 + "abc ".index(letter)) * time), (0, 400)) for letter in text]
    samples = np.concatenate(tones)
    soundfile.write(path, samples + 0.01 * rng.normal(size=len(samples)), 8000, subtype="PCM_16")


def write_glyphs(path: Path, text: str, rng: np.random.Generator) -> None:
    """A line of letters that are eight rows and six columns of ink each, two empty ones after it."""
    image = pytest.importorskip("PIL.Image")
    shapes = np.random.default_rng(9).integers(0, 2, size=(3, 8, 6))
    ink = [np.zeros((8, 6)) if letter == " " else shapes["abc".index(letter)] for letter in text]
    columns = np.concatenate([np.pad(letter, ((0, 0), (0, 2))) for letter in ink], axis=1)
    shades = 230 - 200 * columns + rng.normal(0, 8, columns.shape)
    image.fromarray(shades.clip(0, 255).astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("write", "suffix", "features", "letter"), [(write_tones, ".wav", "16", 0.15), (write_glyphs, ".png", "8", 8)]
)
def test_sounds_and_pictures_of_lines_are_learnt_from_files(
    write: Any, suffix: str, features: str, letter: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    said = texts(rng, 100)
    paths = [tmp_path / f"{place}{suffix}" for place in range(100)]
    for path, text in zip(paths, said, strict=True):
        write(path, text, rng)
    small = {**SMALL, "features": features, "epochs": 20, "augment": 0.0, "validation": 0.0, "threads": 1}
    model = ur.Transcriber(**small).fit(paths[:80], said[:80])
    assert model.score(paths[80:], said[80:]) > 0.8
    for text, found in zip(said[80:], model.align(paths[80:], said[80:]), strict=True):
        assert "".join(symbol.symbol for symbol in found) == text
        late = [symbol.start / letter - place for place, symbol in enumerate(found)]
        assert -1 < min(late) <= max(late) < 2


def test_files_by_their_paths(tmp_path: Path) -> None:
    paths = []
    for place in range(4):
        path = tmp_path / f"{place}.inkml"
        path.write_text(f"<ink><trace>0 0,1 {place},2 1,3 3</trace></ink>")
        paths.append(path)
    found = ur.Transcriber(**{**SMALL, "hidden": 4, "epochs": 1}, threads=1).fit(paths, ["a", "b", "a", "b"])
    assert len(found.predict([str(path) for path in paths])) == 4


def test_refusals(pens: tuple[list[Any], list[str]]) -> None:
    X, y = pens
    model = ur.Transcriber(**SMALL)
    with pytest.raises(ArgumentError, match="X has 3 samples and y 2 texts"):
        model.fit(X[:3], y[:2])
    with pytest.raises(ArgumentError, match=r"y\[1\] is ' ', and a text that is not empty is needed"):
        model.fit(X[:2], ["a", " "])
    with pytest.raises(DataError, match="X, row 1: stroke 1 has no points"):
        model.fit([X[0], [np.zeros((0, 2))]], ["a", "b"])
    with pytest.raises(DataError, match="X, row 0: the input has 5 steps and its text needs 9"):
        model.fit([X[0][:1]] * 2, ["ababababa"] * 2)
    with pytest.raises(ArgumentError, match=r"X\[0\] has the shape \(2, 2, 2\)"):
        model.fit([np.zeros((2, 2, 2))], ["a"])
    with pytest.raises(ValueError, match="not fitted; call fit first"):
        model.predict(X)
