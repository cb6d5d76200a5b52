from __future__ import annotations

import builtins
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.audio import augment_features, is_sound, log_mel, read_sound, resample, sound_rate
from unrolled.errors import ArgumentError, DataError

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
RATE = 8000


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE, seed: int = 0) -> np.ndarray[Any, Any]:
    times = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(times))
    return (0.5 * np.sin(2 * np.pi * hertz * times) + 1e-3 * noise).astype(np.float32)


@pytest.mark.parametrize(("suffix", "exact"), [(".wav", 1e-4), (".flac", 1e-4), (".ogg", 0.05), (".mp3", 0.05)])
def test_every_format_gives_the_samples(suffix: str, exact: float, tmp_path: Path) -> None:
    samples = tone(440, 1.0, 16000)
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, samples, 16000)
    found, rate = read_sound(path)
    assert (rate, sound_rate(path), found.dtype) == (16000, 16000, np.float32)
    assert abs(len(found) - len(samples)) <= (0 if suffix != ".mp3" else 2304)
    size = min(len(found), len(samples))
    assert np.sqrt(np.mean((found[:size] - samples[:size]) ** 2)) < exact
    assert is_sound(path)


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(300), tone(700)], 1)
    soundfile.write(tmp_path / "a.wav", both, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav")[0], both.mean(1), atol=1e-7)


def test_another_rate_keeps_the_tone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1000, 1.0, 22050), 22050)
    found, rate = read_sound(tmp_path / "a.wav", RATE)
    assert (rate, len(found)) == (RATE, RATE)
    assert np.abs(np.fft.rfft(found)).argmax() == 1000
    with pytest.raises(ArgumentError, match="rate=0 Hz is no sampling rate; give 1,000 to 768,000"):
        resample(found, RATE, 0)


def test_log_mel_is_the_power_in_bands() -> None:
    samples = tone(1000, 0.3)
    found = log_mel(samples, RATE, bands=20)
    assert found.shape == (1 + len(samples) // 80, 20)
    edges = 700 * (10 ** (np.linspace(np.log10(1 + 20 / 700), np.log10(1 + 4000 / 700), 22)) - 1)
    assert abs(edges[1:-1][found[5].argmax()] - 1000) < 150
    louder = log_mel(10 * samples, RATE, bands=20)
    np.testing.assert_allclose(louder - found, 2.0, atol=1e-3)
    # one frame by the definition: window, spectrum, triangles
    at, size = 1200, 200
    frame = samples[at - size // 2 : at + size // 2] * np.hanning(size + 1)[:-1]
    power = np.abs(np.fft.rfft(frame, 256)) ** 2 / np.hanning(size + 1)[:-1].sum() ** 2
    centres, band = np.arange(129) * RATE / 256, 12
    low, middle, high = edges[band : band + 3]
    weights = np.clip(np.minimum((centres - low) / (middle - low), (high - centres) / (high - middle)), 0, None)
    assert found[at // 80, band] == pytest.approx(np.log10(power @ weights / weights.sum()), abs=1e-3)


def test_log_mel_of_a_long_clip_is_that_of_its_parts() -> None:
    samples = np.random.default_rng(3).normal(size=RATE * 50).astype(np.float32)
    whole = log_mel(samples, RATE, bands=8)
    np.testing.assert_allclose(whole[4200:4300], log_mel(samples[4000 * 80 :], RATE, bands=8)[200:300], atol=1e-5)


def test_steady_silence_does_not_depend_on_what_comes_later() -> None:
    quiet = 1e-3 * np.random.default_rng(4).normal(size=4000).astype(np.float32)
    both = np.concatenate([quiet, 100 * np.random.default_rng(5).normal(size=4000).astype(np.float32)])
    alone = log_mel(quiet, RATE, bands=8, steady=True)[:40]
    np.testing.assert_allclose(log_mel(both, RATE, bands=8, steady=True)[:40], alone, atol=1e-5)
    assert np.abs(log_mel(both, RATE, bands=8)[:40] - alone).max() > 0.5


def test_silence_and_a_single_sample_have_features() -> None:
    assert np.isfinite(log_mel(np.zeros(500, dtype=np.float32), RATE)).all()
    assert log_mel(np.ones(1, dtype=np.float32), RATE, bands=5).shape == (1, 5)
    with pytest.raises(ArgumentError, match=r"bands=0, window=0\.025 s and hop=0.01 s at 8000 Hz make no features"):
        log_mel(np.ones(100, dtype=np.float32), RATE, bands=0)


def test_augmentation_changes_what_it_may_and_no_more() -> None:
    features = np.random.default_rng(1).normal(size=(100, 24)).astype(np.float32)
    before = features.copy()
    assert augment_features(features, np.random.default_rng(0), 0.0) is features
    found = [augment_features(features, np.random.default_rng(seed)) for seed in range(20)]
    assert {len(other) for other in found} <= set(range(85, 116)) and len({len(other) for other in found}) > 5
    assert all(other.shape[1] == 24 and other.dtype == np.float32 and np.isfinite(other).all() for other in found)
    np.testing.assert_array_equal(found[3], augment_features(features, np.random.default_rng(3)))
    np.testing.assert_array_equal(features, before)
    bands = np.arange(24.0, dtype=np.float32) ** 2 + np.zeros((50, 1), np.float32)
    for seed in range(5):
        kept, moved = (augment_features(bands, np.random.default_rng(seed), pitch=pitch) for pitch in (False, True))
        steps = np.diff(kept[~(kept == kept[:, :1]).all(1)], axis=1)
        assert (np.isclose(steps, np.diff(bands[:1]))).mean() > 0.5, "each band has its place but for the holes"
        assert len(moved) == len(kept)
        assert not np.allclose(moved, kept)
    faint = augment_features(features, np.random.default_rng(0), 1e-6)
    np.testing.assert_allclose(faint, features, atol=1e-4)
    assert augment_features(features[:1], np.random.default_rng(0)).shape == (1, 24)


def _written(path: Path, samples: Any = None) -> Path:
    soundfile.write(
        path, tone(400, 2.0) if samples is None else samples, RATE, subtype="FLOAT" if samples is not None else None
    )
    return path


def _bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    short = _written(folder / "short.wav")
    short.write_bytes(short.read_bytes()[:5000])
    flac = _written(folder / "short.flac")
    flac.write_bytes(flac.read_bytes()[:3000])
    ogg = _written(folder / "short.ogg")
    ogg.write_bytes(ogg.read_bytes()[:60])
    nan = np.array([0.1, 0.2, np.nan, 0.3])
    empty = folder / "empty.wav"
    empty.write_bytes(b"")
    words = folder / "words.mp3"
    words.write_text("no sound at all\n" * 50)
    return {
        "truncated": (short, "short.wav: the file is cut short .4,956 of the 32,000 bytes of sound that its head"),
        "flac": (flac, "short.flac: the "),
        "ogg": (ogg, "short.ogg: the sound cannot be decoded"),
        "silent": (_written(folder / "none.wav", np.zeros(0)), "none.wav: the sound has no samples; record it again"),
        "nan": (_written(folder / "nan.wav", nan), "nan.wav: sample 3 is not a finite number; mend the file"),
        "empty": (empty, "empty.wav: the file is empty, and a sound is needed"),
        "words": (words, "words.mp3: the sound cannot be decoded"),
        "missing": (folder / "shorts.wav", r"shorts.wav: there is no such file; .* \(nearest: 'short.wav'\)"),
        "folder": (folder, "this is a folder, and a file is needed"),
    }  # fmt: skip


@pytest.mark.parametrize("fault", ["truncated", "flac", "ogg", "silent", "nan", "empty", "words", "missing", "folder"])
def test_bad_files_are_named(fault: str, tmp_path: Path) -> None:
    path, sentence = _bad_files(tmp_path)[fault]
    with pytest.raises(DataError, match=sentence):
        read_sound(path)


def test_a_length_that_a_pipe_could_not_know_is_no_fault(tmp_path: Path) -> None:
    path = _written(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(bytes(data))
    assert len(read_sound(path)[0]) == 2 * RATE


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "soundfile":
            raise ImportError
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"reading sound needs soundfile, .* \"pip install 'unrolled\[audio\]'\""):
        read_sound(tmp_path / "a.wav")
