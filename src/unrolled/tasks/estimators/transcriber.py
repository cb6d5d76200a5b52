"""`Transcriber`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Numbers
from unrolled.data.documents import Origin
from unrolled.data.problems import Problems
from unrolled.data.signals import Choice, Features, Signal, Sound, Strokes, kind_of_file
from unrolled.data.strokes import join_strokes
from unrolled.errors import ArgumentError
from unrolled.tasks.arrays import as_sequences
from unrolled.tasks.clips import Clips
from unrolled.tasks.estimators.base import FEWEST_HELD_OUT, Estimator
from unrolled.tasks.model import Parts
from unrolled.tasks.options import Common, TranscribeOptions, option
from unrolled.tasks.search import GREEDY, Search
from unrolled.tasks.transcribe import TranscribeTask, hold_out, settle, start_of

_GIVEN = Path("X")


class Aligned(NamedTuple):
    """A symbol and when it was put out: seconds of sound, else steps of the input; `score` is its mean log p."""

    symbol: str
    start: float
    end: float
    score: float


@dataclass(kw_only=True, repr=False, eq=False)
class Transcriber(Estimator, TranscribeOptions):
    """Write down what was said or written, without being told where each letter is: CTC (Graves et al. 2006).

    `fit(X, y)`: X are n paths of sounds, of InkML or IAM-OnDB files or of pictures of lines; or n arrays, samples (N,)
    of sound at `rate` (by default 16000 Hz) or features (T, F); or n lists of strokes, each (T, 2) of x and y. y are n
    texts. `cell` is a name or a Cell.

    >>> model = Transcriber(cell="gru").fit(["a.wav", "b.wav"], ["yes", "no"])  # doctest: +SKIP
    """

    cell: Any = option("lstm", "a cell's name or a Cell")
    text: str = field(default="text", init=False)
    inputs: str | None = field(default=None, init=False)

    task: ClassVar[str] = "transcribe"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples and their texts; raises DataError or ArgumentError where one cannot be used."""
        options: Any = self
        common = Common(seed=self.seed, from_run=None if self.from_run is None else Path(self.from_run))
        texts = _texts(y, len(X))
        start = start_of(common)
        signal = start.signal if start is not None else self._signal(X[0])
        origins = [Origin(_GIVEN, place) for place in range(len(X))]
        clips = Clips(_samples(signal, X), texts, origins=origins, signal=signal)
        clips = settle([clips], options, start, Problems())[0]
        if round(self.validation * len(clips)) < FEWEST_HELD_OUT:
            return self._fit(Parts(clips, how="none"))
        return self._fit(hold_out(clips, options, common))

    def predict(self, X: Any, search: Search = GREEDY) -> list[str]:
        """The text of each sample."""
        model: TranscribeTask = self._fitted
        return model.transcribe(_samples(model.signal, X), search)

    def align(self, X: Any, y: Any) -> list[list[Aligned]]:
        """When each symbol of each text was said or written. Raises ArgumentError for a text that cannot be."""
        model: TranscribeTask = self._fitted
        found = []
        for logs, text in zip(model.logs(_samples(model.signal, X)), _texts(y, len(X)), strict=True):
            found.append(
                [
                    Aligned(
                        model.vocabulary.token(span.symbol),
                        model.time_of(span.start),
                        model.time_of(span.end),
                        span.score,
                    )
                    for span in model.align(logs, text)
                ]
            )
        return found

    def score(self, X: Any, y: Any) -> float:
        """1 - character error rate."""
        model: TranscribeTask = self._fitted
        return 1.0 - model.rates(_texts(y, len(X)), self.predict(X))["character_error_rate"]

    def _signal(self, first: Any) -> Signal:
        choice = Choice(self.features, self.rate, self.causal)
        if isinstance(first, str | Path):
            return choice.signal(kind_of_file(Path(first)), Path(first))
        if isinstance(first, list | tuple):
            return choice.signal(Strokes.kind)
        shape = np.shape(first)
        if len(shape) not in (1, 2):
            raise ArgumentError(f"X[0] has the shape {shape}; give samples (N,), features (T, F) or a list of strokes")
        return choice.signal(Sound.kind) if len(shape) == 1 else Features(shape[1])


def _texts(y: Any, count: int) -> list[str]:
    if len(y) != count or not count:
        raise ArgumentError(f"X has {count} samples and y {len(y)} texts; give one text for each, at least one")
    for place, text in enumerate(y):
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError(f"y[{place}] is {text!r}, and a text that is not empty is needed; give one")
    return [" ".join(text.split()) for text in y]


def _samples(signal: Signal, X: Sequence[Any]) -> list[Numbers]:
    return [_sample(signal, item, place) for place, item in enumerate(X)]


def _sample(signal: Signal, item: Any, place: int) -> Numbers:
    """What the signal keeps of one element of X; raises ArgumentError or DataError."""
    if isinstance(item, str | Path):
        return signal.read(Path(item))
    if isinstance(signal, Strokes):
        return join_strokes([np.reshape(stroke, (-1, 2)).tolist() for stroke in item], _GIVEN, place)
    values = np.asarray(item)
    if isinstance(signal, Sound) and values.ndim == 1 and len(values):
        return signal.mel(_numbers(values)[:, 0])
    if isinstance(signal, Sound) or values.ndim != 2 or values.shape[1] != signal.width or not len(values):
        wanted = "samples (N,)" if isinstance(signal, Sound) else f"(T, {signal.width})"
        raise ArgumentError(f"X[{place}] has the shape {values.shape}, {wanted} is needed; give that")
    return _numbers(values)


def _numbers(values: npt.NDArray[Any]) -> Numbers:
    return cast(Numbers, as_sequences([values[:, None] if values.ndim == 1 else values])[0])
