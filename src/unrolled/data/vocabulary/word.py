"""Words and punctuation marks as tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary

# ASCII, Latin-1, general, CJK and full-width punctuation. A word is anything else that is not space, so that
# vowel signs and other marks stay in their word (\w would cut them off).
_MARKS = (
    "!-/:-@\\[-^`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2010-\u205e\u3001-\u303f\uff01-\uff0f"
)
_TOKEN = re.compile(
    # A line break; an English ending that stands apart, as treebanks write it; a word, inner apostrophes and the
    # marks inside a number belonging to it; a run of one punctuation mark.
    r"\n"
    r"|(?<!\S)['’](?:s|re|ve|ll|d|m|t)(?!\S)"
    rf"|[^\s{_MARKS}]+(?:(?:['’]|(?<=\d)[.,](?=\d))[^\s{_MARKS}]+)*"
    rf"|([{_MARKS}])\1*",
    re.IGNORECASE,
)
_MARK = re.compile(f"[{_MARKS}]")
_BREAK = "\n"


def split_words(text: str) -> list[str]:
    """The words, punctuation marks and line breaks of a text; the spaces between them are dropped."""
    return [match.group() for match in _TOKEN.finditer(text)]


class WordVocabulary(Vocabulary):
    r"""One token a word, a run of one punctuation mark, or a line break.

    `decode` puts one space between tokens, but none around line breaks, none before the marks in `closing` and none
    after those in `opening`, both learnt from the texts; an unknown word is shown as `<unk>`. With `lowercase` the
    text is put into lower case first.
    """

    units: ClassVar[str] = "word"

    def __init__(
        self,
        words: Sequence[str],
        *,
        closing: Iterable[str] = (),
        opening: Iterable[str] = (),
        lowercase: bool = False,
        specials: Sequence[str] = (),
    ) -> None:
        super().__init__(specials)
        self.words = list(words)
        self.lowercase = lowercase
        self.closing = frozenset(closing)
        self.opening = frozenset(opening)
        self._ids = {word: self.first + place for place, word in enumerate(self.words)}

    def __len__(self) -> int:
        return self.first + len(self.words)

    def encode(self, text: str) -> Ids:
        words = split_words(text.lower() if self.lowercase else text)
        find, unknown = self._ids.get, self.unknown
        return np.fromiter((find(word, unknown) for word in words), dtype=np.int64, count=len(words))

    def decode(self, ids: Iterable[int]) -> str:
        decoder = _WordDecoder(self)
        return "".join([decoder.shown(index) for index in self.checked(ids).tolist()])

    def decoder(self) -> Decoder:
        return _WordDecoder(self)

    def token(self, index: int) -> str:
        return self.reserved(index) or self.words[index - self.first]

    def to_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "specials": list(self.specials),
            "lowercase": self.lowercase,
            "closing": sorted(self.closing),
            "opening": sorted(self.opening),
            "tokens": self.words,
        }


class _WordDecoder:
    def __init__(self, vocabulary: WordVocabulary) -> None:
        self._vocabulary = vocabulary
        self._joined = True

    def push(self, token: int) -> str:
        return self.shown(int(self._vocabulary.checked([token])[0]))

    def shown(self, index: int) -> str:
        """The text of an id that is known to be inside the vocabulary."""
        vocabulary = self._vocabulary
        if index < vocabulary.first and index != vocabulary.unknown:
            return ""
        word = vocabulary.token(index)
        joined = self._joined or word == _BREAK or word in vocabulary.closing
        self._joined = word == _BREAK or word in vocabulary.opening
        return word if joined else f" {word}"

    def flush(self) -> str:
        return ""


def learn_spacing(texts: Iterable[str]) -> tuple[set[str], set[str]]:
    """Marks that mostly stand without a space before them (closing) and without one after them (opening)."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for text in texts:
        spans = [(match.start(), match.end(), match.group()) for match in _TOKEN.finditer(text)]
        for (_, end, left), (start, _, right) in pairwise(spans):
            if _BREAK in (left, right):
                continue
            vote = 1 if start == end else -1
            # The gap beside a word says nothing about the word: "said," does not mean that "said" joins its right.
            if _MARK.match(right):
                before[right] += vote
            if _MARK.match(left):
                after[left] += vote
    return {mark for mark, votes in before.items() if votes > 0}, {mark for mark, votes in after.items() if votes > 0}
