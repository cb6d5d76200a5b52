"""Words and punctuation marks as tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from unrolled.data.arrays import Ids
from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.data.vocabulary.encoder import last_word

# ASCII, Latin-1, general, CJK and full-width punctuation. A word is anything else that is not space, so that
# vowel signs and other marks stay in their word (\w would cut them off).
_MARKS = (
    "!-/:-@\\[-^`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2010-\u205e\u3001-\u303f\uff01-\uff0f"
)
_TOKEN = re.compile(
    # A line break; an English ending that stands apart, as treebanks write it; a word, with inner apostrophes and the
    # marks inside a number; a run of one punctuation mark, which is the only group.
    r"\n"
    r"|(?<!\S)['’](?:s|re|ve|ll|d|m|t)(?!\S)"
    rf"|[^\s{_MARKS}]+(?:(?:['’]|(?<=\d)[.,](?=\d))[^\s{_MARKS}]+)*"
    rf"|([{_MARKS}])\1*",
    re.IGNORECASE,
)
_BREAK = "\n"
_JOINER = "\uffed"


def split_words(text: str) -> list[str]:
    """The words, line breaks and punctuation marks of a text.

    A mark carries a joiner (U+FFED, as in OpenNMT's tokenizer) on each side without a space: "(so)" is "(￭ so ￭)".
    """
    tokens = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match.lastindex:
            start, end = match.span()
            left, right = text[start - 1 : start], text[end : end + 1]
            token = f"{_JOINER if left.strip() else ''}{token}{_JOINER if right.strip() else ''}"
        tokens.append(token)
    return tokens


class WordVocabulary(Vocabulary):
    """One token a word, a line break, or a run of one punctuation mark with the sides on which it is joined.

    `decode(encode(text)) == text` where all tokens are known, but for runs of spaces, which become one. A mark that is
    joined as never before becomes its commonest form; an unknown word is shown as `<unk>`. With `lowercase` the text is
    put into lower case first.
    """

    units: ClassVar[str] = "word"

    def __init__(self, words: Sequence[str], *, lowercase: bool = False, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self.words = list(words)
        self.lowercase = lowercase
        self._ids = {word: self.first + place for place, word in enumerate(self.words)}
        # Backwards, so that the first and commonest form of a mark stays.
        self._forms = {word.strip(_JOINER): index for word, index in reversed(self._ids.items())}

    def __len__(self) -> int:
        return self.first + len(self.words)

    def ids_of(self, words: Sequence[str]) -> Ids:
        """Ids `(T,)` of words that are cut already, as in a treebank."""
        find = self._ids.get
        found = (find(word.lower() if self.lowercase else word, self.unknown) for word in words)
        return np.fromiter(found, dtype=np.int64, count=len(words))

    def encode(self, text: str) -> Ids:
        return self.ids_of_tokens(split_words(text.lower() if self.lowercase else text))

    def ids_of_tokens(self, words: Sequence[str]) -> Ids:
        """Ids `(T,)` of what `split_words` made of a text."""
        find = self._ids.get
        found = (find(word, -1) for word in words)
        ids = np.fromiter(found, dtype=np.int64, count=len(words))
        for place in np.flatnonzero(ids < 0).tolist():
            ids[place] = self._forms.get(words[place].strip(_JOINER), self.unknown)
        return ids

    def pieces(self, text: str) -> list[str]:
        return [word.strip(_JOINER) for word in split_words(text.lower() if self.lowercase else text)]

    def decode(self, ids: Iterable[int]) -> str:
        decoder = _WordDecoder(self)
        return "".join([decoder.shown(index) for index in self.checked(ids).tolist()])

    def decoder(self) -> Decoder:
        return _WordDecoder(self)

    def settled(self, text: str) -> int:
        # White space is in no token, and a mark or an apostrophe sees it as it sees the end of the text.
        return last_word(text)

    def token(self, index: int) -> str:
        return self.reserved(index) or self.words[index - self.first].strip(_JOINER)

    def to_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "specials": list(self.specials),
            "lowercase": self.lowercase,
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
        word = vocabulary.reserved(index) or vocabulary.words[index - vocabulary.first]
        joined = self._joined or word == _BREAK or word.startswith(_JOINER)
        self._joined = word == _BREAK or word.endswith(_JOINER)
        return word.strip(_JOINER) if joined else f" {word.strip(_JOINER)}"

    def flush(self) -> str:
        return ""
