"""Language models of texts larger than memory: the same training, from the flat files of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from unrolled.data import TokenStreams, Vocabulary, build_vocabulary, pad_ids
from unrolled.data.arrays import Ids
from unrolled.data.large import LargeTexts, cache_folder, data_files, open_texts, wants_cache
from unrolled.data.large.building import Reading
from unrolled.data.large.texts import Borders, FlatTexts
from unrolled.errors import ArgumentError
from unrolled.tasks.language_text import BORDER, LanguageText, Score
from unrolled.tasks.options import Common, LanguageOptions
from unrolled.tasks.run import read_vocabulary

Texts: TypeAlias = "list[str] | LargeTexts"

# A long document is measured in pieces of so many steps, each reached by a run-up.
_PIECE, _RUN_UP, _ROWS = 1 << 16, 512, 64


def is_large(path: Path, options: LanguageOptions, common: Common) -> bool:
    """Whether the training text is read through the cache. Raises ArgumentError where it cannot be and must."""
    large = wants_cache(path, common.more, cache=common.cache)
    if large and options.sequence is not None:
        if common.more or common.cache is not None:
            raise ArgumentError("rows of one sequence may lie anywhere in a file; give one file, and leave cache out")
        return False
    return large


def open_large(path: Path, options: LanguageOptions, common: Common) -> LargeTexts:
    """The training texts, encoded; in the units of the run that `--from` names, where there is one."""
    start = None if common.from_run is None else read_vocabulary(common.from_run)
    if start is None or BORDER not in start.specials:
        units, lowercase = options.units, bool(options.lowercase)
    else:
        units, lowercase = units_of(start)
    files = data_files(path, common.more)
    reading = Reading(units, lowercase, options.text, skip_bad=common.skip_bad)
    return open_texts(files, reading, cache_folder(common.cache))


def open_like(path: Path, vocabulary: Vocabulary, column: str) -> LargeTexts:
    """Another large text in the units of a vocabulary."""
    files = data_files(path)
    units, lowercase = units_of(vocabulary)
    return open_texts(files, Reading(units, lowercase, column), cache_folder())


def units_of(vocabulary: Vocabulary) -> tuple[str, bool]:
    """What a vocabulary cuts a text into, and whether in lower case."""
    return vocabulary.units, bool(getattr(vocabulary, "lowercase", False))


def learnt_vocabulary(texts: Texts, options: LanguageOptions) -> Vocabulary:
    """The vocabulary of the training texts."""
    if isinstance(texts, LargeTexts):
        return texts.vocabulary(size=options.vocabulary_size, minimum=options.minimum, specials=(BORDER,))
    return build_vocabulary(
        options.units,
        texts,
        size=options.vocabulary_size,
        minimum=options.minimum,
        lowercase=bool(options.lowercase),
        specials=(BORDER,),
    )


def line_breaks(texts: Texts) -> int:
    """How many there are."""
    return texts.breaks if isinstance(texts, LargeTexts) else sum(text.count("\n") for text in texts)


def flat(model: LanguageText, texts: LargeTexts) -> FlatTexts:
    """The texts as `model.encode` would have them, end to end."""
    return texts.under(model.vocabulary, Borders(model.start, model.border if model.ends else None))


def large_source(model: LanguageText, texts: LargeTexts, options: LanguageOptions, seed: int) -> TokenStreams:
    """Training windows from the disk: those that `TokenStreams` has of the same texts in memory."""
    found = flat(model, texts)
    documents = (found.begins, found.sizes)
    return TokenStreams.of_flat(found, documents, options.batch_size, options.window, seed, stride=options.stride)


def large_score(model: LanguageText, texts: LargeTexts) -> Score:
    """The cost of all texts, in pieces of 65,536 steps of which each is reached by 512 before it."""
    found = flat(model, texts)
    rows = _rows(found)
    nats = 0.0
    while batch := list(islice(rows, _ROWS)):
        ids, lengths = pad_ids([row for row, _ in batch])
        nats += float(model.nats(ids, lengths, np.array([run_up for _, run_up in batch])).sum())
    characters = 0 if model.vocabulary.units == "symbol" else texts.characters
    return Score(nats, int((found.sizes - 1).sum()), characters)


def _rows(texts: FlatTexts) -> Iterator[tuple[Ids, int]]:
    """Pieces of the documents, each with how many of its steps are a run-up."""
    for begin, size in zip(texts.begins.tolist(), texts.sizes.tolist(), strict=True):
        for start in range(0, size - 1, _PIECE):
            run_up = min(start, _RUN_UP)
            yield texts.part(begin + start - run_up, begin + min(size, start + _PIECE + 1)), run_up
