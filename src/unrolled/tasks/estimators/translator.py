"""`Translator`."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from unrolled.errors import ArgumentError
from unrolled.tasks.estimators.base import Estimator
from unrolled.tasks.estimators.language_model import as_texts
from unrolled.tasks.model import Parts
from unrolled.tasks.options import TranslateOptions, option
from unrolled.tasks.pair_batches import Pairs
from unrolled.tasks.translate import TranslateTask, hold_out
from unrolled.tasks.translation import Translation, asked_search
from unrolled.train.published import translation_scores

# Fewer pairs than this say too little about which weights are the best.
_FEWEST_HELD_OUT = 10


@dataclass(kw_only=True, repr=False, eq=False)
class Translator(Estimator, TranslateOptions):
    """Translate texts: p(y | x) = prod_t p(y_t | y_1 ... y_{t-1}, x), by an encoder and a decoder with attention.

    `fit(X, y)`: n texts and their n translations. `cell` is a name or a Cell.

    >>> model = Translator(cell="gru").fit(spanish, english)  # doctest: +SKIP
    """

    cell: Any = option("lstm", "a cell's name or a Cell")
    source: str | None = field(default=None, init=False)
    target: str | None = field(default=None, init=False)
    header: bool = field(default=True, init=False)
    ratio: float = field(default=9.0, init=False)

    task: ClassVar[str] = "translate"

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts and their translations; a `validation` share is held out where that is 10 pairs or more."""
        pairs = Pairs(*_both(X, y))
        few = round(self.validation * len(pairs)) < _FEWEST_HELD_OUT
        return self._fit(Parts(pairs, how="none") if few else hold_out(pairs, self.validation, self.seed))

    def predict(self, X: Any) -> list[str]:
        """The best translation of each text."""
        model: TranslateTask = self._fitted
        return model.predict(as_texts(X))

    def translate(
        self,
        X: Any,
        *,
        best: int = 1,
        beam: int | None = None,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
    ) -> list[list[Translation]]:
        """The `best` translations of each text with their scores and where each word looked."""
        model: TranslateTask = self._fitted
        search = asked_search(model.search, best, beam, length_penalty, coverage_penalty)
        return model.translate(as_texts(X), search)

    def score(self, X: Any, y: Any) -> float:
        """BLEU by sacreBLEU, from 0 to 100."""
        texts, references = _both(X, y)
        return translation_scores(self.predict(texts), references)["bleu"]


def _both(X: Any, y: Any) -> tuple[list[str], list[str]]:
    texts, translations = as_texts(X), as_texts(y)
    if len(texts) != len(translations):
        raise ArgumentError(f"X has {len(texts)} texts and y {len(translations)} translations; give one for each")
    return texts, translations
