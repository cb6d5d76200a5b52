"""Scores of translations as papers report them, computed by sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from unrolled.errors import ArgumentError


def sacrebleu_installed() -> bool:
    """Whether `translation_scores` can be used."""
    return find_spec("sacrebleu") is not None


def translation_scores(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`bleu` (Papineni et al. 2002) and `chrf` (Popović 2015) of a corpus in percent, by sacreBLEU (Post 2018).

    Case counts and sacreBLEU cuts the words, so the figures compare with published ones. Raises ArgumentError where
    sacreBLEU is not installed.
    """
    if not sacrebleu_installed():
        raise ArgumentError(
            "BLEU and chrF need sacrebleu, which is not installed; run \"pip install 'unrolled[metrics]'\""
        )
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return {
        name: float(metric.corpus_score(answers, [references]).score)
        for name, metric in (("bleu", BLEU()), ("chrf", CHRF()))
    }
