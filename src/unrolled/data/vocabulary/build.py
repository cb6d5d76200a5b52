"""Vocabularies learnt from texts, and read back from JSON that may have been tampered with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.problems import listed, nearest
from unrolled.data.vocabulary.base import Vocabulary
from unrolled.data.vocabulary.byte import ByteVocabulary
from unrolled.data.vocabulary.character import CharVocabulary, code_points
from unrolled.data.vocabulary.pair import PairVocabulary
from unrolled.data.vocabulary.subword import SubwordVocabulary, load_tokenizer, train_subwords
from unrolled.data.vocabulary.symbol import SymbolVocabulary, split_symbols
from unrolled.data.vocabulary.word import WordVocabulary, split_words
from unrolled.errors import ArgumentError, DataError

UNITS = ("char", "byte", "word", "subword", "symbol")


def build_vocabulary(
    units: str,
    texts: Sequence[str],
    *,
    size: int | None = None,
    minimum: int = 1,
    lowercase: bool = False,
    specials: Sequence[str] = (),
) -> Vocabulary:
    """Learn the tokens of `texts`, the commonest first.

    Kept are tokens seen at least `minimum` times, at most `size` ids in all; `lowercase` is for char and word. An equal
    set of texts gives an equal vocabulary, whatever their order. Raises ArgumentError.
    """
    _check(units, size, minimum, lowercase, specials)
    if units == "subword":
        return train_subwords(texts, size, minimum, specials)
    if lowercase:
        texts = [text.lower() for text in texts]
    counts: Counter[str] = Counter()
    if units == "char":
        counts = _count_characters(texts)
    elif units != "byte":
        counts = _count(texts, split_symbols if units == "symbol" else split_words)
    return vocabulary_of_counts(units, counts, size=size, minimum=minimum, lowercase=lowercase, specials=specials)


def vocabulary_of_counts(
    units: str,
    counts: Mapping[str, int],
    *,
    size: int | None = None,
    minimum: int = 1,
    lowercase: bool = False,
    specials: Sequence[str] = (),
) -> Vocabulary:
    """The same from how often each unit occurs, in lower case already; not for subwords. Raises ArgumentError."""
    _check(units, size, minimum, lowercase, specials)
    if units == "byte":
        return ByteVocabulary(specials=specials)
    commonest = _commonest(counts, None if size is None else size - 2 - len(specials), minimum)
    if units == "char":
        return CharVocabulary(commonest, lowercase=lowercase, specials=specials)
    if units == "symbol":
        return SymbolVocabulary(commonest, specials=specials)
    return WordVocabulary(commonest, lowercase=lowercase, specials=specials)


def _check(units: str, size: int | None, minimum: int, lowercase: bool, specials: Sequence[str]) -> None:
    if units not in UNITS:
        raise ArgumentError(f"units={units!r} is not known; give one of {listed(UNITS)}{nearest(units, UNITS)}")
    if minimum < 1 or (size is not None and size < 3 + len(specials)):
        raise ArgumentError(
            f"minimum={minimum} and size={size} leave no room for a token; give at least 1 and {3 + len(specials)}"
        )
    if lowercase and units not in ("char", "word"):
        raise ArgumentError(f"lowercase is for char and word units, and {units!r} keeps the text; leave it out")


def vocabulary_of_words(
    sentences: Iterable[Sequence[str]], *, size: int | None = None, minimum: int = 1, lowercase: bool = False
) -> WordVocabulary:
    """The vocabulary of sentences that are cut into words already; as `build_vocabulary`. Raises ArgumentError."""
    counts: Counter[str] = Counter()
    for words in sentences:
        counts.update(word.lower() if lowercase else word for word in words)
    room = None if size is None else size - 2
    return WordVocabulary(_commonest(counts, room, minimum), lowercase=lowercase)


def vocabulary_from_json(data: object, path: str | Path | None = None) -> Vocabulary:
    """The vocabulary whose `to_json` this is; nothing in it is executed.

    Raises DataError, naming `path` where it is given, for anything that `to_json` would not have written.
    """
    try:
        return _from_json(data)
    except (DataError, ArgumentError) as error:
        raise DataError(str(error), path) from None


def _from_json(data: object) -> Vocabulary:
    if not isinstance(data, dict):
        raise DataError("a vocabulary is a JSON object, and this is something else; restore the file")
    units = data.get("units")
    if units == PairVocabulary.units:
        return _pair_from_json(data)
    if units not in UNITS:
        raise DataError(f"the vocabulary's units are {units!r}, and one of {listed(UNITS)} is needed; restore the file")
    specials = _texts(data, "specials")
    if units == "byte":
        return ByteVocabulary(specials=specials)
    if units == "subword":
        return SubwordVocabulary(load_tokenizer(data.get("tokenizer")), specials=specials)
    if units == "symbol":
        return SymbolVocabulary(_texts(data, "tokens"), specials=specials)
    lowercase = data.get("lowercase")
    if not isinstance(lowercase, bool):
        raise DataError("the vocabulary's 'lowercase' must be true or false; restore the file")
    tokens = _texts(data, "tokens")
    if units == "char":
        if any(len(token) != 1 for token in tokens):
            raise DataError("a token of this character vocabulary is not one character; restore the file")
        return CharVocabulary(tokens, lowercase=lowercase, specials=specials)
    return WordVocabulary(tokens, lowercase=lowercase, specials=specials)


def _pair_from_json(data: dict[str, Any]) -> PairVocabulary:
    sides = [data.get(side) for side in ("source", "target")]
    if any(isinstance(side, dict) and side.get("units") == PairVocabulary.units for side in sides):
        raise DataError("a pair of vocabularies holds another pair; restore the file")
    return PairVocabulary(_from_json(sides[0]), None if sides[1] is None else _from_json(sides[1]))


def _texts(data: dict[str, Any], name: str) -> list[str]:
    """The list of different texts that the vocabulary's JSON must have under `name`."""
    values = data.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise DataError(f"the vocabulary's {name!r} must be a list of texts; restore the file")
    if len(set(values)) < len(values):
        twice = next(value for value, count in Counter(values).items() if count > 1)
        raise DataError(f"the vocabulary's {name!r} has {twice!r} twice; restore the file")
    return values


def _count_characters(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        codes, times = np.unique(code_points(text), return_counts=True)
        counts.update(dict(zip(map(chr, codes.tolist()), times.tolist(), strict=True)))
    return counts


def _count(texts: Iterable[str], split: Callable[[str], list[str]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text))
    return counts


def _commonest(counts: Mapping[str, int], room: int | None, minimum: int) -> list[str]:
    """The tokens seen often enough, the commonest first and equals in alphabetical order."""
    kept = sorted(
        (token for token, count in counts.items() if count >= minimum), key=lambda token: (-counts[token], token)
    )
    if not kept:
        raise ArgumentError(f"no token of the texts is seen {minimum} times or more; lower minimum or give more text")
    return kept[:room]
