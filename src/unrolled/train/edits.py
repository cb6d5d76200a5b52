"""Character and word error rate, from the edit distance (Levenshtein 1966)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from unrolled.errors import ArgumentError


def edit_distance(truth: Sequence[Hashable], answer: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and substitutions that make `answer` of `truth`."""
    number: dict[Hashable, int] = {}
    a, b = (
        np.array([number.setdefault(item, len(number)) for item in side], dtype=np.int64) for side in (truth, answer)
    )
    place = np.arange(len(b) + 1)
    row = place
    for count, item in enumerate(a, 1):
        # An insertion adds one to the entry on its left, so all of them are a running minimum of row - place.
        best = np.concatenate([[count], np.minimum(row[1:] + 1, row[:-1] + (b != item))])
        row = np.minimum.accumulate(best - place) + place
    return int(row[-1])


def character_error_rate(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Edits by characters of all answers, over the number of characters of all truths."""
    return _rate(truths, answers, list)


def word_error_rate(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Edits by words, parted by white space, over the number of words of all truths."""
    return _rate(truths, answers, str.split)


def _rate(truths: Sequence[str], answers: Sequence[str], units: Callable[[str], list[str]]) -> float:
    if len(truths) != len(answers):
        raise ArgumentError(f"{len(truths)} truths and {len(answers)} answers; give one answer for each truth")
    total = sum(len(units(truth)) for truth in truths)
    if not total:
        raise ArgumentError("the truths are all empty, so no share of them can be wrong; give one with a letter in it")
    return sum(edit_distance(units(a), units(b)) for a, b in zip(truths, answers, strict=True)) / total
