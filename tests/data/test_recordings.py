from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.recordings import read_recordings, read_samples
from unrolled.data.signals import Choice, Features, LineImage, Sound, Strokes, kind_of_file, signal_from_json
from unrolled.errors import ArgumentError, DataError

soundfile = pytest.importorskip("soundfile")
RATE = 8000


def write_sound(path: Path, seconds: float = 0.2, rate: int = RATE, seed: int = 0) -> Path:
    samples = 0.1 * np.random.default_rng(seed).normal(size=round(seconds * rate))
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def manifest(folder: Path, rows: list[tuple[str, str]], name: str = "clips.csv") -> Path:
    path = folder / name
    path.write_text("file,text\n" + "".join(f"{file},{text}\n" for file, text in rows), encoding="utf-8")
    return path


def points(rng: np.random.Generator) -> list[list[float]]:
    found: list[list[float]] = rng.integers(0, 100, size=(5, 2)).tolist()
    return found


def test_real_recordings(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    numbers = read_recordings(real_data("handwriting/numbers-dev.jsonl"))
    assert (numbers.signal, len(numbers)) == (Strokes(), 500)
    assert all(len(sample) == 8 * len(text) for sample, text in zip(numbers.samples, numbers.texts, strict=True))
    clips = real_data("audio/digits.csv")
    rows = [line.split(",")[:2] for line in clips.read_text().splitlines()[1:400:40]]
    spoken = read_recordings(manifest(tmp_path, [(f"{clips.parent / file}", text) for file, text in rows]))
    assert spoken.signal == Sound(8000)
    assert all(10 < len(sample) < 300 and np.isfinite(sample).all() for sample in spoken.samples)


def test_sounds_of_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write_sound(tmp_path / "deep" / "a.wav")
    write_sound(tmp_path / "b.flac", 0.4, rate=16_000, seed=1)
    found = read_recordings(manifest(tmp_path, [("deep/a.wav", " two  words "), ("b.flac", "x")]))
    assert found.signal == Sound(RATE, 40)
    assert found.signal.title == "sound at 8,000 Hz"
    assert found.texts == ["two words", "x"]
    assert [sample.shape for sample in found.samples] == [(21, 40), (41, 40)]
    assert [origin.row for origin in found.origins] == [2, 3]
    np.testing.assert_array_equal(read_samples(tmp_path / "b.flac", found.signal).samples[0], found.samples[1])


def test_points_in_cells(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"points": points(rng), "text": "1"}, {"points": [points(rng), points(rng)], "text": "2"}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_recordings(path, choice=Choice(causal=True, features="offsets"))
    assert found.signal == Strokes(shape=False, whole=False)
    assert [sample[:, 2].sum() for sample in found.samples] == [1, 2]
    assert read_samples(path, found.signal).texts == ["", ""]
    assert read_samples(path, found.signal, text="text").texts == ["1", "2"]


def test_features_computed_elsewhere(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(4, 3))
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", values[:, :2])
    found = read_recordings(manifest(tmp_path, [("a.npy", "x")]))
    assert found.signal == Features(3)
    np.testing.assert_allclose(found.samples[0], values, rtol=1e-6)
    with pytest.raises(DataError, match=r"row 3: .*b\.npy: 2 features a step where the first sample has 3"):
        read_recordings(manifest(tmp_path, [("a.npy", "x"), ("b.npy", "y")]))


def test_pictures_of_lines(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    values = np.random.default_rng(2).integers(0, 256, size=(20, 50)).astype(np.uint8)
    image.fromarray(values).save(tmp_path / "a.png")
    found = read_recordings(manifest(tmp_path, [("a.png", "x")]), choice=Choice(features="10"))
    assert found.signal == LineImage(10)
    assert found.samples[0].shape == (25, 10)


def bad_rows(folder: Path) -> dict[str, tuple[tuple[str, str], str]]:
    write_sound(folder / "good.wav")
    soundfile.write(folder / "none.wav", np.zeros(0), RATE)
    (folder / "cut.wav").write_bytes(write_sound(folder / "long.wav", 0.5).read_bytes()[:900])
    (folder / "a.inkml").write_text("<ink><trace>1 1</trace></ink>")
    return {
        "missing": (("gone.wav", "x"), r"row 3: .*gone\.wav: there is no such file"),
        "zero length": (("none.wav", "x"), r"row 3: .*none\.wav: the sound has no samples"),
        "truncated": (("cut.wav", "x"), r"row 3: .*cut\.wav: the file is cut short"),
        "no text": (("good.wav", "  "), r"row 3: the text in column 'text' is empty"),
        "no file": ((" ", "x"), r"row 3: column 'file' is empty; name a file there"),
        "another kind": (("a.inkml", "x"), r"row 3: .*a\.inkml: this is a file of strokes, and sound is needed"),
        "unknown kind": (("good.txt", "x"), r"row 3: .*good\.txt: the name ends in '\.txt', and one of \.aif"),
        "points": (('"[[1, 2]]"', "x"), "row 3: the row holds points, and sound is needed"),
    }


@pytest.mark.parametrize(
    "fault", ["missing", "zero length", "truncated", "no text", "no file", "another kind", "unknown kind", "points"]
)
def test_bad_rows_are_named_or_skipped(fault: str, tmp_path: Path) -> None:
    row, sentence = bad_rows(tmp_path)[fault]
    path = manifest(tmp_path, [("good.wav", "a"), row, ("good.wav", "b")])
    with pytest.raises(DataError, match=rf"clips\.csv, {sentence}") as caught:
        read_recordings(path)
    assert "\n" not in str(caught.value)
    found = read_recordings(path, skip_bad=True)
    assert found.texts == ["a", "b"]
    assert [str(error) for error in found.skipped] == [str(caught.value)]


def test_nothing_that_can_be_used(tmp_path: Path) -> None:
    path = manifest(tmp_path, [("gone.wav", "x")])
    with pytest.raises(DataError, match=r"nothing here can be used; the first of 1: .*gone\.wav"):
        read_recordings(path, skip_bad=True)
    (tmp_path / "a.csv").write_text("sound,text\na.wav,x\n")
    with pytest.raises(DataError, match="no column is named 'file', 'points', 'strokes'; say which of 'sound', 'text'"):
        read_recordings(tmp_path / "a.csv")
    sentence = r"there is no column 'said'; say which of 'sound', 'text' holds what is said or written \(--text\)"
    with pytest.raises(DataError, match=sentence):
        read_recordings(tmp_path / "a.csv", inputs="sound", text="said")


@pytest.mark.parametrize(
    "signal", [Sound(16_000, 20, steady=True), Strokes(shape=False), LineImage(48), Features(7)], ids=lambda s: s.kind
)
def test_signals_survive_json(signal: Any) -> None:
    data = json.loads(json.dumps(signal.to_json()))
    assert signal_from_json(data) == signal
    for strange in ({}, {"kind": "smell"}, {**data, "more": 1}, {**data, **dict.fromkeys(list(data)[1:], -3)}):
        with pytest.raises(DataError, match="the signal"):
            signal_from_json(strange)


def test_choices_that_cannot_be() -> None:
    for features in ("many", "0", "9999"):
        with pytest.raises(ArgumentError, match=f"features='{features}' is no number of bands or rows"):
            Choice(features).signal("sound")
    with pytest.raises(ArgumentError, match="features='40' is not known for strokes; give shape or offsets"):
        Choice("40").signal("strokes")
    assert Choice(rate=4000).signal("sound") == Sound(4000, 40)
    assert kind_of_file(Path("a.XML")) == "strokes"


def test_arrays_that_are_none(tmp_path: Path) -> None:
    for place, values in enumerate((np.zeros(3), np.array([["a"]]), np.array([[np.nan]]), np.zeros((0, 2)))):
        np.save(tmp_path / f"{place}.npy", values)
        with pytest.raises(DataError, match=f"{place}.npy: "):
            Features(1).read(tmp_path / f"{place}.npy")
    np.save(tmp_path / "o.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"this is no \.npy array of numbers"):
        Features(1).read(tmp_path / "o.npy")
