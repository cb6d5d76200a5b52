"""How alike a text is to one of several that people wrote: BLEU over a whole corpus."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from unrolled.errors import ArgumentError

LONGEST = 4
_TOKEN = re.compile(r"\w+|[^\w\s]")

Tokens = Sequence[str]


def words_and_marks(text: str) -> list[str]:
    """The words of a text in lower case, each punctuation mark on its own: what `bleu_scores` counts."""
    return _TOKEN.findall(text.lower())


def bleu_scores(answers: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> dict[str, float]:
    """`bleu_1` to `bleu_4` in percent (Papineni et al. 2002), each answer beside one or more references.

    BLEU-n = min(1, exp(1 - r / c)) * (p_1 ... p_n)^(1/n)

    p_k is the share of the answers' runs of k tokens that a reference has as often; c and r are the summed lengths of
    the answers and of their nearest references (of two equally near ones the shorter). Nothing is smoothed. Raises
    ArgumentError for no answers, and for one without a reference.
    """
    if not answers or len(answers) != len(references) or not all(references):
        raise ArgumentError(
            f"{len(answers)} answers and {len(references)} lists of references; give one or more references for each"
        )
    hits, total = [0] * LONGEST, [0] * LONGEST
    for answer, several in zip(answers, references, strict=True):
        for n in range(1, LONGEST + 1):
            mine, most = _runs(answer, n), Counter[tuple[str, ...]]()
            for reference in several:
                most |= _runs(reference, n)
            hits[n - 1] += (mine & most).total()
            total[n - 1] += mine.total()
    length = sum(map(len, answers))
    nearest = sum(
        min((abs(len(one) - len(answer)), len(one)) for one in several)[1]
        for answer, several in zip(answers, references, strict=True)
    )
    brevity = 0.0 if not length else min(1.0, math.exp(1 - nearest / length))
    logs = [math.log(hit / of) if hit else -math.inf for hit, of in zip(hits, total, strict=True)]
    return {f"bleu_{n}": 100 * brevity * math.exp(sum(logs[:n]) / n) for n in range(1, LONGEST + 1)}


def _runs(tokens: Tokens, n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[k : k + n]) for k in range(len(tokens) - n + 1))
