"""How the frames of a film become what a network reads."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unrolled.data.film import Film
from unrolled.errors import RunError
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.step_inputs import StepInput

if TYPE_CHECKING:
    from torch import nn

# Bytes of decoded frames that are kept between epochs; a film that finds no room is decoded anew each time.
_KEPT = 512 * 2**20


class FilmInput(StepInput):
    """Frames (size, size, 3) of bytes, `rate` of them a second; decoded when a batch asks for them."""

    kind = "frames"
    limit = 64
    batch_steps = 512

    def __init__(self, rate: float, size: int) -> None:
        self.rate = rate
        self.size = size
        self._kept: dict[Path, npt.NDArray[np.uint8]] = {}
        self._room = _KEPT

    def encoder(self, plan: NetworkPlan) -> tuple[nn.Module | None, int]:
        from unrolled.models import FrameEncoder

        return FrameEncoder(self.size, plan.inputs), plan.inputs

    def check(self, sequence: Any) -> str | None:
        if isinstance(sequence, Film):
            if (sequence.rate, sequence.size) == (self.rate, self.size):
                return None
            return (
                f"has {sequence.rate:g} frames a second of {sequence.size} pixels, and this model reads {self.rate:g} "
                f"of {self.size}; open it so"
            )
        if isinstance(sequence, np.ndarray) and sequence.dtype == np.uint8:
            if sequence.ndim == 4 and sequence.shape[1:] == (self.size, self.size, 3):
                return None
            return f"has the shape {sequence.shape}; give bytes (T, {self.size}, {self.size}, 3)"
        return "is no film; give data.film.open_film(path) or bytes (T, size, size, 3)"

    def prepare(self, sequence: Any) -> Any:
        return sequence

    def arrays(self, pieces: Sequence[Any]) -> npt.NDArray[np.uint8]:
        arrays = [self._frames(piece) for piece in pieces]
        batch = np.zeros((len(arrays), max(map(len, arrays)), 3, self.size, self.size), dtype=np.uint8)
        for row, frames in enumerate(arrays):
            batch[row, : len(frames)] = frames.transpose(0, 3, 1, 2)
        return batch

    def _frames(self, piece: Any) -> npt.NDArray[np.uint8]:
        if not isinstance(piece, Film):
            return np.asarray(piece)
        if piece.path not in self._kept:
            whole = piece.whole
            size = len(whole) * self.size * self.size * 3
            if size > self._room:
                return np.stack(list(piece.frames()))
            self._room -= size
            self._kept[piece.path] = np.stack(list(whole.frames()))
        return self._kept[piece.path][piece.first : piece.first + len(piece)]

    def joined(self, steps: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
        return np.stack(steps)

    def key(self, sequence: Any) -> Hashable:
        if isinstance(sequence, Film):
            return str(sequence.path), sequence.first, len(sequence), sequence.rate, sequence.size
        return sequence.shape, sequence.tobytes()

    def to_json(self) -> dict[str, Any]:
        return {"rate": self.rate, "size": self.size}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FilmInput:
        """The input of a run; raises RunError."""
        rate, size = data.get("rate"), data.get("size")
        if not isinstance(rate, int | float) or not isinstance(size, int) or not rate > 0 or not 1 <= size <= 4096:
            raise RunError("the data's schema does not say how frames are read")
        return cls(float(rate), size)
