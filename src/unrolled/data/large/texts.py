"""Texts that lie encoded on disk: parts of them, their units, and their numbers under a vocabulary."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Ids
from unrolled.data.large.blocks import Block, Cut, Place, read_blocks
from unrolled.data.large.building import BEGINS, TOKENS, Reading, encoded
from unrolled.data.large.entry import Entry, Mapped
from unrolled.data.large.files import Files
from unrolled.data.large.subwords import learnt_subwords, subword_entry
from unrolled.data.large.units import END, FIRST, OTHER, START, Coder, coder_for, ids_of_units
from unrolled.data.problems import Problems
from unrolled.data.split import MOST_HELD, behind_gap, held_characters, too_short
from unrolled.data.vocabulary import Vocabulary
from unrolled.data.vocabulary.build import vocabulary_of_counts
from unrolled.errors import DataError


class Borders(NamedTuple):
    """The ids that stand before each document and behind it; None: nothing stands behind it."""

    before: int
    behind: int | None


@dataclass(frozen=True)
class LargeTexts:
    """The first `documents` texts of an entry, the last of them up to the number `until`; without it all there are.

    `held` are how often each unit occurs in what comes after them, `breaks` the line breaks in them.
    """

    entry: Entry
    files: Files
    reading: Reading
    cache: Path
    documents: int
    breaks: int
    until: int | None = None
    held: Ids | None = None

    def __len__(self) -> int:
        return self.documents

    @property
    def skipped(self) -> tuple[DataError, ...]:
        """What was left out because it cannot be used; the first thousand by name."""
        facts = self.entry.facts
        named = [DataError(sentence) for sentence in facts["skipped"]]
        rest = facts["skips"] - len(named)
        return (*named, *([DataError(f"and {rest:,} more")] if rest > 0 else []))

    @property
    def characters(self) -> int:
        """Characters of all texts of the entry, what is held out counted."""
        found: int = self.entry.facts["characters"]
        return found

    @property
    def fingerprint(self) -> str:
        """What the texts are, wherever they were read from: the content of their entry, and where they end."""
        content = f"{self.entry.content} {self._tokens} {self.documents} {self.until}"
        return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()

    @cached_property
    def _begins(self) -> Ids:
        """Where each document begins, and the end of the last."""
        begins: Ids = self.entry.array(BEGINS, np.int64)[0 : self.documents + 1]
        if self.until is not None:
            begins[-1] = self.until + 1
        return begins

    @cached_property
    def _tokens(self) -> list[str]:
        tokens: list[str] = self.entry.facts["tokens"]
        return tokens

    def _coder(self) -> Coder:
        tabs = self.reading.units == "symbol" and any("\t" in token or " " in token for token in self._tokens)
        coder = coder_for(self.reading.units, lowercase=self.reading.lowercase, tabs=tabs)
        coder.load(self._tokens)
        return coder

    def hold_out(self, fraction: float, most: int = MOST_HELD) -> tuple[LargeTexts, list[str] | None]:
        """As `split.hold_out`: what is held out is text in memory, and the rest stays on disk."""
        if fraction == 0:
            return self, None
        total = self.entry.facts["characters"]
        keep = total - held_characters(total, fraction, most)
        tail = self._tail(keep)
        coder = self._coder()
        documents, until = tail.documents, tail.numbers
        ragged = False
        valid = []
        keep -= tail.characters
        for text, begins in tail.texts:
            cut = behind_gap(text, keep, self.reading.units)
            if text[:cut]:
                documents += begins
                ragged = bool(text[cut:])
                until += begins + int(coder.code([text[:cut]])[1][0]) + (not ragged)
            if text[cut:]:
                valid.append(text[cut:])
            keep = max(0, keep - len(text))
        if not documents or not valid:
            raise too_short(total, fraction, self.files.paths[0])
        train = replace(
            self,
            documents=documents,
            until=until if ragged else None,
            held=np.bincount(coder.code(valid)[0], minlength=len(coder)),
            breaks=self.breaks - sum(text.count("\n") for text in valid),
        )
        return train, valid

    def _tail(self, keep: int) -> _Tail:
        """The texts from the last block on that begins before the character `keep`."""
        marks = self.entry.facts["marks"]
        mark = [mark for mark in marks if mark[1] < max(1, keep)][-1]
        count, characters, documents, *place = mark
        start = Place(place[0], place[1], place[2], bool(place[3]))
        texts: list[tuple[str, bool]] = []
        for block in self._blocks(start):
            for place_in_block, text in enumerate(block.texts):
                if block.joined and not place_in_block and texts:
                    texts[-1] = (texts[-1][0] + text, texts[-1][1])
                else:
                    texts.append((text, place_in_block > 0 or not block.joined))
        return _Tail(texts, count, characters, documents)

    def _blocks(self, start: Place) -> Iterator[Block]:
        coder = self._coder()
        cut = Cut(self.reading.text, gap=coder.gap)
        return read_blocks(self.files, cut, Problems(self.reading.skip_bad), start)

    def vocabulary(self, *, size: int | None, minimum: int, specials: Sequence[str]) -> Vocabulary:
        """As `build_vocabulary` learns it of these texts; of subwords that of 64 MB spread over them."""
        if self.reading.units == "subword":
            return learnt_subwords(self._stored, self._begins, size=size, minimum=minimum, specials=specials)
        counts = np.array(self.entry.facts["counts"], dtype=np.int64)
        if self.held is not None:
            counts[: len(self.held)] -= self.held
        found = dict(zip(self._tokens, counts[FIRST:].tolist(), strict=True))
        return vocabulary_of_counts(
            self.reading.units, Counter({unit: count for unit, count in found.items() if count > 0}),
            size=size, minimum=minimum, lowercase=self.reading.lowercase, specials=specials,
        )  # fmt: skip

    @property
    def _stored(self) -> tuple[Mapped, npt.NDArray[np.uint8]]:
        """The numbers on disk, and the byte that each stands for, of texts that were cut into bytes."""
        mapped = self.entry.array(TOKENS, self.entry.facts["dtype"])
        values = [0] * FIRST + [ord(token) for token in self._tokens]
        return mapped, np.array(values, dtype=np.uint8)

    def under(self, vocabulary: Vocabulary, borders: Borders) -> FlatTexts:
        """The ids of these texts, with their borders."""
        if vocabulary.units == "subword":
            entry, begins = subword_entry(self._stored, self._begins, vocabulary, self.fingerprint, self.cache)
            table = np.arange(len(vocabulary), dtype=np.int64)
            tokens, until = entry.array(TOKENS, entry.facts["dtype"]), None
        else:
            begins, until = self._begins, self.until
            table = np.concatenate([np.zeros(FIRST, dtype=np.int64), ids_of_units(self._tokens, vocabulary)])
            tokens = self.entry.array(TOKENS, self.entry.facts["dtype"])
        table[[START, END, OTHER]] = borders.before, borders.behind or 0, vocabulary.unknown
        # The number at the cut is the first of what was held out.
        cut = None if until is None or borders.behind is None else (until, borders.behind)
        ends = borders.behind is not None
        return FlatTexts(tokens, table, (begins[:-1], np.diff(begins) - (not ends)), ends=ends, cut=cut)


class _Tail(NamedTuple):
    """Texts with whether each is a document's beginning; numbers, characters and documents before them."""

    texts: list[tuple[str, bool]]
    numbers: int
    characters: int
    documents: int


class FlatTexts:
    """Documents end to end as ids: `begins` and `sizes` (N,), and the ids at any places."""

    def __init__(
        self, tokens: Mapped, table: Ids, documents: tuple[Ids, Ids], *, ends: bool, cut: tuple[int, int] | None
    ) -> None:
        self.begins, self.sizes = documents
        self._ends = ends
        self._tokens = tokens
        self._table = table
        self._cut = cut

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def units(self) -> int:
        """Units of text, borders not counted."""
        return int(self.sizes.sum()) - len(self) * (1 + self._ends)

    def take(self, places: npt.NDArray[np.int64]) -> Ids:
        """The ids at these places, of any shape."""
        # A damaged number beyond the table is an unknown unit, and no fault of the one who reads.
        found: Ids = self._table.take(self._tokens.take(places), mode="clip")
        if self._cut is not None:
            found[places == self._cut[0]] = self._cut[1]
        return found

    def part(self, start: int, stop: int) -> Ids:
        """The ids from one place to another."""
        found: Ids = self.take(np.arange(start, stop)[None])[0]
        return found

    def __getitem__(self, document: int) -> Ids:
        begin = int(self.begins[document])
        return self.part(begin, begin + int(self.sizes[document]))


def open_texts(files: Files, reading: Reading, cache: Path) -> LargeTexts:
    """The texts of these files, encoded now where they are not yet. Raises DataError."""
    entry = encoded(files, reading, cache)
    facts: dict[str, Any] = entry.facts
    return LargeTexts(entry, files, reading, cache, facts["documents"], facts["breaks"])
