"""`LanguageModel`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from unrolled.data.split import hold_out
from unrolled.errors import ArgumentError
from unrolled.streams.language import LanguageStream
from unrolled.tasks.arrays import as_sequences
from unrolled.tasks.estimators.base import Estimator
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.language_text import Score
from unrolled.tasks.model import Parts
from unrolled.tasks.options import LanguageOptions, option
from unrolled.tasks.order import Coherence, Ordered, coherence, reorder


@dataclass(kw_only=True, repr=False, eq=False)
class LanguageModel(Estimator, LanguageOptions):
    """Foretell text unit by unit: p(x_1 ... x_n) = prod_t p(x_t | x_1 ... x_{t-1}).

    `fit(X)`: one text, or texts that each have an end of their own. `cell` is a name or a Cell.
    """

    cell: Any = option("lstm", "a cell's name or a Cell")
    text: str = field(default="text", init=False)
    sequence: str | None = field(default=None, init=False)

    task: ClassVar[str] = "language"

    def fit(self, X: Any, y: None = None) -> Self:
        """Train on texts; the last `validation` share of the characters is held out."""
        texts = as_texts(X)
        train, valid = hold_out(texts, self.validation, units=self.units)
        return self._fit(Parts(train, valid, how=f"the last {self.validation:.0%} of the text" if valid else "none"))

    def generate(self, prompt: str = "", length: int = 500, **sampling: Any) -> str:
        """The text that goes on from `prompt`; `temperature`, `top_k`, `top_p` and `seed` as in `pieces`."""
        return "".join(self.pieces(prompt, length, **sampling))

    def pieces(self, prompt: str = "", length: int = 500, **sampling: Any) -> Iterator[str]:
        """The same as it is written; see `tasks.language.LanguageTask.generate`."""
        model: LanguageTask = self._fitted
        return model.generate(prompt, length, **sampling)

    def stream(self, state: bytes | None = None, **choices: Any) -> LanguageStream:
        """A text while it is written, which `generate` of the stream continues; `next`: how many units are listed."""
        model: LanguageTask = self._fitted
        return model.stream(state, **choices)

    def complete(self, prompt: str, count: int = 10, *, single: bool = False) -> list[tuple[str, float]]:
        """The likeliest next words or symbols, or with `single` units, with their probabilities."""
        model: LanguageTask = self._fitted
        return model.complete(prompt, count, single=single)

    def reorder(self, text: str, count: int = 1, **search: Any) -> list[Ordered]:
        """The likeliest orders of the words of a text; `exact`, `width` and `keep` as in `tasks.order.reorder`."""
        return reorder(self._fitted, text, count, **search)

    def coherence(self, X: Any, shuffles: int = 20) -> list[Coherence]:
        """How much better the order of each text is than random orders of its words; see `tasks.order.coherence`."""
        return coherence(self._fitted, as_texts(X), shuffles)

    def score_texts(self, X: Any) -> list[Score]:
        """The cost of each text: nats, units, characters, and `.metrics()`."""
        model: LanguageTask = self._fitted
        return model.score(as_texts(X))

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """The log-likelihood of each text in nats (n,)."""
        return np.array([-score.nats for score in self.score_texts(X)])

    def score(self, X: Any, y: None = None) -> float:
        """Mean log-likelihood in nats a unit: the higher, the better."""
        scores = self.score_texts(X)
        return -sum(score.nats for score in scores) / sum(score.units for score in scores)


def as_texts(X: Any) -> list[str]:
    """One text or several as a list; raises ArgumentError."""
    sequences = as_sequences([X] if isinstance(X, str) else X)
    if not isinstance(sequences[0], str):
        raise ArgumentError("X holds numbers, a language model reads texts; give a text or a list of texts")
    return [str(text) for text in sequences]
