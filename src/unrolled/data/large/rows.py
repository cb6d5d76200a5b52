"""Rows of large tables: texts on disk with a name or numbers beside each, in any order and any part."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Exact, Flags, Ids
from unrolled.data.large.building import BEGINS, KEYS, ROWS, TOKENS, column_file
from unrolled.data.large.texts import Borders, FlatTexts, LargeTexts
from unrolled.data.large.units import FIRST
from unrolled.data.vocabulary import Vocabulary
from unrolled.data.vocabulary.build import vocabulary_of_counts
from unrolled.errors import ArgumentError

# Of more rows nobody asks whether one of them is in two parts: the question would take more memory than the answer.
_MOST_COMPARED = 5_000_000


@dataclass(frozen=True)
class LargeRows(Sequence[Any]):
    """The rows `chosen` (N,) of a large table, in that order; their texts are read as ids, `under` a vocabulary."""

    texts: LargeTexts
    chosen: Ids

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: Any) -> Any:
        raise ArgumentError("texts on disk are read as ids alone; encode them, or give texts in memory")

    def take(self, rows: npt.NDArray[np.int64]) -> LargeRows:
        """The rows at these places."""
        return replace(self, chosen=self.chosen[rows])

    @property
    def rows(self) -> Ids:
        """Where each begins in its file, counted from 1."""
        found: Ids = self.texts.entry.array(ROWS, np.int64)[0:][self.chosen]
        return found

    def names(self, column: str) -> list[str]:
        """The cells of a column of names."""
        facts = self.texts.entry.facts
        known = facts["codes"][self.texts.reading.columns.index(column)]
        codes = self.texts.entry.array(column_file(column), np.int64)[0:][self.chosen]
        return [known[code] for code in codes.tolist()]

    def numbers(self, column: str) -> Exact:
        """The cells of a column of numbers, NaN where a cell is none."""
        found: Exact = self.texts.entry.array(column_file(column), np.float64)[0:][self.chosen]
        return found

    def keys(self) -> list[int]:
        """A number of 64 bits for each text, equal for equal texts; none where there are more than five million."""
        if len(self) > _MOST_COMPARED:
            return []
        found: list[int] = self.texts.entry.array(KEYS, np.uint64)[0:][self.chosen].tolist()
        return found

    @property
    def fingerprint(self) -> str:
        """What the rows are, wherever they were read from."""
        return hashlib.sha256(self.texts.fingerprint.encode() + self.chosen.tobytes()).hexdigest()

    def vocabulary(self, *, size: int | None, minimum: int) -> Vocabulary:
        """As `build_vocabulary` learns it of these rows."""
        reading, facts = self.texts.reading, self.texts.entry.facts
        inside = np.zeros(self.texts.documents, dtype=bool)
        inside[self.chosen] = True
        counts = np.array(facts["counts"], dtype=np.int64) - self._counts(~inside)
        found = zip(facts["tokens"], counts[FIRST:].tolist(), strict=True)
        return vocabulary_of_counts(
            reading.units,
            Counter({unit: count for unit, count in found if count > 0}),
            size=size,
            minimum=minimum,
            lowercase=reading.lowercase,
        )

    def _counts(self, chosen: Flags) -> Ids:
        """How often each unit occurs in the chosen documents, borders not counted."""
        begins: Ids = self.texts.entry.array(BEGINS, np.int64)[0:]
        tokens = self.texts.entry.array(TOKENS, self.texts.entry.facts["dtype"])
        counts = np.zeros(len(self.texts.entry.facts["counts"]), dtype=np.int64)
        edges = np.searchsorted(begins, np.arange(0, int(begins[-1]), 1 << 22))
        for first, last in zip(edges.tolist(), [*edges[1:].tolist(), len(begins) - 1], strict=True):
            part = tokens[int(begins[first]) : int(begins[last])]
            kept = part[np.repeat(chosen[first:last], np.diff(begins[first : last + 1]))]
            counts += np.bincount(kept, minlength=len(counts))
        counts[:FIRST] = 0
        return counts

    def under(self, vocabulary: Vocabulary) -> LargeIds:
        """The ids of each text, read when they are asked for."""
        return LargeIds(self.texts.under(vocabulary, Borders(0, None)), self.chosen)


@dataclass(frozen=True)
class LargeIds(Sequence[Ids]):
    """The ids (T,) of texts on disk."""

    flat: FlatTexts
    chosen: Ids

    @cached_property
    def lengths(self) -> Ids:
        """How many each text has."""
        found: Ids = self.flat.sizes[self.chosen] - 1
        return found

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: Any) -> Any:
        row = int(self.chosen[place])
        begin = int(self.flat.begins[row]) + 1
        return self.flat.part(begin, begin + int(self.lengths[place]))

    def __iter__(self) -> Iterator[Ids]:
        return (self[place] for place in range(len(self)))


def all_rows(texts: LargeTexts) -> LargeRows:
    """Every row of the tables."""
    return LargeRows(texts, np.arange(texts.documents))


def lengths_of(rows: Sequence[npt.NDArray[np.generic]]) -> Ids:
    """How long each sequence is, without reading those that lie on disk."""
    return rows.lengths if isinstance(rows, LargeIds) else np.array([len(row) for row in rows], dtype=np.int64)
