"""Classifiers and regressors of tables larger than memory: their texts stay on disk, a label or numbers beside each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data import Labelled, Origin, Vocabulary, check_labels, is_table
from unrolled.data.large import Files, cache_folder, data_files, open_texts, wants_cache
from unrolled.data.large.blocks import table_columns
from unrolled.data.large.building import Reading
from unrolled.data.large.rows import LargeRows, all_rows
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks.options import Common, SequenceOptions
from unrolled.tasks.run import read_vocabulary


def large_tables(path: Path, text: str | None, options: SequenceOptions, common: Common) -> Files | None:
    """The training tables where their text is read through the cache. Raises ArgumentError where it must be and cannot.

    `text` is the column of text, None where the data is no text.
    """
    if not wants_cache(path, common.more, cache=common.cache):
        return None
    files = data_files(path, common.more)
    fits = text is not None and options.units != "subword" and all(map(is_table, files.paths))
    if fits and text in table_columns(files.paths[0]):
        return files
    if common.more or common.cache is not None:
        raise ArgumentError(
            "several files and a cache are for tables with a column of text, in units other than subwords; "
            "give one file, or name the column (text)"
        )
    return None


def open_rows(
    files: Files,
    text: str,
    options: SequenceOptions,
    common: Common,
    *,
    names: tuple[str, ...],
    numbers: tuple[str, ...],
) -> LargeRows:
    """All rows, encoded; in the units of the run that `--from` names, where there is one."""
    start: Vocabulary | None = None if common.from_run is None else read_vocabulary(common.from_run)
    units = options.units if start is None else start.units
    lowercase = (units == "word" if options.lowercase is None else options.lowercase) and units in ("char", "word")
    if start is not None:
        lowercase = bool(getattr(start, "lowercase", False))
    groups = () if common.group is None else (common.group,)
    reading = Reading(units, lowercase, text, (*names, *groups), numbers, common.skip_bad)
    return all_rows(open_texts(files, reading, cache_folder(common.cache)))


def labelled(rows: LargeRows, label: str, common: Common) -> tuple[LargeRows, list[str], tuple[DataError, ...]]:
    """The rows that have a label, their labels, and what was left out. Raises DataError."""
    labels = rows.names(label)
    empty = [place for place, name in enumerate(labels) if not name]
    sentence = f"the label in column {label!r} is empty; write one there or take the row out"
    rows, found = _without(rows, empty, sentence, common)
    if empty:
        labels = [name for name in labels if name]
    path = rows.texts.files.paths[0]
    counts = Counter(labels)
    # The one rule of labels, asked of as few rows as show whether it is kept.
    shown = list(dict.fromkeys(labels)) * 2
    rare = next((name for name, count in counts.items() if count == 1), None)
    if rare is not None:
        shown = [name for name in shown if name != rare] + [rare]
    places = {name: place for place, name in enumerate(labels)}
    origins = [
        Origin(path, int(rows.rows[places[rare]]) if name == rare and rare is not None else None) for name in shown
    ]
    check_labels(Labelled(path, [""] * len(shown), list(shown), origins))
    return rows, labels, found


def with_numbers(
    rows: LargeRows, columns: tuple[str, ...], common: Common
) -> tuple[LargeRows, list[tuple[float, ...]], tuple[DataError, ...]]:
    """The rows whose numbers are finite, the numbers of each, and what was left out. Raises DataError."""
    numbers = np.stack([rows.numbers(column) for column in columns], 1)
    bad = np.flatnonzero(~(np.abs(numbers) <= np.finfo(np.float32).max).all(1)).tolist()
    sentence = f"one of {', '.join(columns)} is no finite number; write one there or take the row out"
    rows, found = _without(rows, bad, sentence, common)
    kept = np.delete(numbers, bad, axis=0).astype(np.float32)
    return rows, [tuple(map(float, row)) for row in kept], found


def groups_of(rows: LargeRows, common: Common) -> list[Hashable] | None:
    """The group of each row, None where no column is asked for."""
    return None if common.group is None else list(rows.names(common.group))


def _without(rows: LargeRows, bad: list[int], sentence: str, common: Common) -> tuple[LargeRows, tuple[DataError, ...]]:
    skipped: tuple[DataError, ...] = rows.texts.skipped
    if not bad:
        return rows, skipped
    path = rows.texts.files.paths[0]
    where: Any = path if len(rows.texts.files.paths) == 1 else None
    errors = tuple(DataError(sentence, where, int(row)) for row in rows.rows[bad[:1000]])
    if not common.skip_bad:
        raise errors[0]
    kept = np.delete(np.arange(len(rows)), bad)
    if not len(kept):
        raise DataError("no row of the table can be used; mend at least two", path)
    return rows.take(kept), (*skipped, *errors)
