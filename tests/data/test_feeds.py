from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from unrolled.data.feeds import feed
from unrolled.data.signals import LineImage, Signal, Sound, Strokes
from unrolled.errors import ArgumentError


def parts(rng: np.random.Generator, values: npt.NDArray[np.float32], longest: int) -> list[npt.NDArray[np.float32]]:
    cuts = np.cumsum(rng.integers(0, longest, size=2 * len(values) // longest + 2))
    return np.split(values, cuts[cuts < len(values)])


@pytest.mark.parametrize("rate", [8000, 11_025])
@pytest.mark.parametrize("length", [1, 79, 500, 3000])
@pytest.mark.parametrize("longest", [5, 700])
def test_sound_part_by_part_has_the_features_of_the_whole(rate: int, length: int, longest: int) -> None:
    rng = np.random.default_rng(length)
    signal = Sound(rate, 8, steady=True)
    samples = rng.normal(size=length).astype(np.float32)
    stream = feed(signal)
    found = [stream.push(part) for part in parts(rng, samples, longest)]
    waited = sum(map(len, found))
    found.append(stream.finish())
    np.testing.assert_allclose(np.concatenate(found), signal.mel(samples), atol=2e-5)
    assert length < 500 or waited >= len(signal.mel(samples)) - 5


@pytest.mark.parametrize("signal", [Strokes(whole=False), Strokes(shape=False, whole=False), LineImage(3)])
@pytest.mark.parametrize("longest", [2, 9])
def test_steps_part_by_part_have_the_features_of_the_whole(signal: Signal, longest: int) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(30, 3)).astype(np.float32)
    values[:, 2] = rng.random(30) < 0.2
    stream = feed(signal)
    found = [stream.push(part) for part in parts(rng, values, longest)]
    np.testing.assert_allclose(np.concatenate([*found, stream.finish()]), signal.features(values), atol=1e-5)


def test_a_stream_of_minutes_keeps_a_moment() -> None:
    rng = np.random.default_rng(1)
    stream: Any = feed(Sound(8000, 8, steady=True))
    steps = 0
    for _ in range(500):
        steps += len(stream.push(rng.normal(size=2000).astype(np.float32)))
        assert len(stream.samples) < 1000
    assert steps > 12_490


def test_nothing_at_all_has_no_features() -> None:
    for signal in (Sound(8000, 8, steady=True), Strokes(whole=False), LineImage(3)):
        assert feed(signal).finish().shape == (0, signal.width)


@pytest.mark.parametrize("signal", [Sound(), Strokes()])
def test_features_of_the_whole_cannot_be_streamed(signal: Signal) -> None:
    with pytest.raises(ArgumentError, match="need a whole sample; train with --causal"):
        feed(signal)
