"""Films for tests: frames drawn by chance, written by PyAV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest


def grey_frames(values: list[int], size: int = 32) -> npt.NDArray[np.uint8]:
    """A frame (size, size, 3) of each grey, with a little noise."""
    rng = np.random.default_rng(len(values))
    noise = rng.integers(-4, 5, (len(values), size, size, 1))
    return (np.array(values)[:, None, None, None] + noise).clip(0, 255).repeat(3, 3).astype(np.uint8)


def write_film(path: Path, frames: npt.NDArray[np.uint8], rate: int = 10) -> Path:
    """An MPEG-4 film with a key frame only every 12 frames."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_pictures(folder: Path, frames: npt.NDArray[np.uint8]) -> Path:
    """frame-1.png, frame-2.png, ..."""
    image = pytest.importorskip("PIL.Image")
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        image.fromarray(frame).save(folder / f"frame-{number}.png")
    return folder
