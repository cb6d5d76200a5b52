"""Pitch and voicing: of tones whose pitch is known, of noise, of silence."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.data.audio import augment_features, log_mel
from unrolled.data.voicing import augment_voiced, voicing


@pytest.mark.parametrize("rate", [4000, 8000, 16000, 44100])
@pytest.mark.parametrize("hertz", [80, 130, 220, 410])
def test_the_pitch_of_a_voice_is_found(rate: int, hertz: int) -> None:
    """Three overtones, the first one weaker than the second, in noise."""
    rng = np.random.default_rng(hertz)
    times = np.arange(rate // 2) / rate
    voice = sum(a * np.sin(2 * np.pi * k * hertz * times + k) for k, a in ((1, 0.5), (2, 1.0), (3, 0.4)))
    found = voicing((0.1 * voice + 0.01 * rng.normal(size=len(times))).astype(np.float32), rate)
    inner = found[5:-5]
    assert inner[:, 0].min() > 0.8
    pitch = 200 * 2 ** (inner[:, 1] / inner[:, 0])
    # In noise, a step now and then is taken for the octave below.
    assert (np.abs(pitch / hertz - 1) < 0.01 + hertz / 16000).mean() > 0.9


def test_noise_and_silence_are_no_voice() -> None:
    rng = np.random.default_rng(1)
    noise = (0.1 * rng.normal(size=8000)).astype(np.float32)
    assert np.median(voicing(noise, 16000)[:, 0]) < 0.5
    np.testing.assert_array_equal(voicing(np.zeros(1600, np.float32), 16000), 0)
    tone = 0.3 * np.sin(2 * np.pi * 150 * np.arange(8000) / 16000)
    quiet = np.concatenate([tone, 1e-3 * tone]).astype(np.float32)
    found = voicing(quiet, 16000)
    assert found[10:40, 0].min() > 0.8
    np.testing.assert_array_equal(found[60:], 0)


def test_a_steady_step_does_not_depend_on_what_comes_after_it() -> None:
    rng = np.random.default_rng(4)
    quiet = 0.02 * np.sin(2 * np.pi * 150 * np.arange(8000) / 8000) + 1e-3 * rng.normal(size=8000)
    both = np.concatenate([quiet, 0.9 * rng.normal(size=4000)]).astype(np.float32)
    alone = voicing(quiet.astype(np.float32), 8000, steady=True)[:90]
    assert alone[5:, 0].min() > 0.8
    np.testing.assert_array_equal(voicing(both, 8000, steady=True)[:90], alone)
    np.testing.assert_array_equal(voicing((1e-2 * quiet).astype(np.float32), 8000, steady=True), 0)


@pytest.mark.parametrize("count", [1, 159, 160, 16000, 200_000])
def test_steps_are_those_of_the_mel_bands(count: int) -> None:
    samples = np.random.default_rng(2).normal(size=count).astype(np.float32)
    found = voicing(samples, 16000)
    assert found.shape == (len(log_mel(samples, 16000)), 2)
    assert np.isfinite(found).all()
    part = voicing(samples[: 16000 * 5], 16000)[:400]
    # The same whether a clip is read in one piece or in several; the loudest step alone may differ.
    both = min(len(part), len(found))
    assert np.abs(found[: both - 5] - part[: both - 5]).max(initial=0.0) < 1e-4


def test_augmented_voices_keep_to_their_time() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 14)).astype(np.float32)
    features[:, 12] = np.linspace(0, 1, 60)
    for seed in range(10):
        found = augment_voiced(features, 12, np.random.default_rng(seed), 1.0)
        np.testing.assert_array_equal(
            found[:, :12], augment_features(features[:, :12], np.random.default_rng(seed), 1.0, pitch=False)
        )
        np.testing.assert_allclose(found[:, 12], np.linspace(0, 1, len(found)), atol=1e-6)
    np.testing.assert_array_equal(augment_voiced(features, 12, rng, 0.0), features)
