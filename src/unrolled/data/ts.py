"""The `.ts` format of UCR and UEA: a line a series, channels between colons, the label last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.data.problems import Problems, listed, quoted
from unrolled.data.series_values import (
    INTERVAL,
    Found,
    SeriesColumns,
    as_numbers,
    as_series,
    as_times,
    check_order,
    check_width,
    intervals,
    missing_words,
)
from unrolled.data.text import read_text
from unrolled.errors import DataError

_BETWEEN_CHANNELS = re.compile(r":(?![^(]*\))")
_PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")


def read_ts(path: Path, columns: SeriesColumns, problems: Problems) -> Found:
    """Every series of the file; of `columns`, `label` and `missing` count. Raises DataError."""
    head, lines = _ts_parts(path)
    labelled = head.get("classlabel", "false").split()[0].lower() == "true"
    if columns.label is not None and not labelled:
        raise DataError("the file has no class labels (@classLabel true ...); give one that has", path)
    known = head.get("classlabel", "").split()[1:]
    stamped = head.get("timestamps", "false").lower() == "true"
    nan_is_missing = head.get("missing", "false").lower() == "true"
    words = missing_words(columns, *(("nan",) if nan_is_missing else ()))
    sequences: list[Numbers] = []
    labels: list[str] = []
    rows: list[int] = []
    for row, line in lines:
        try:
            channels = _BETWEEN_CHANNELS.split(line)
            label = channels.pop().strip() if labelled else ""
            if not channels:
                raise DataError("the line holds a label and no series; write its numbers in front", path, row)
            if known and label not in known:
                sentence = f"the label {quoted(label)} is none of @classLabel ({listed(known)}); correct it"
                raise DataError(sentence, path, row)
            sequence = _stamped(channels, words, path, row) if stamped else _channels(channels, words, path, row)
            check_width(sequence, sequences, path, row)
        except DataError as error:
            problems.report(error)
            continue
        sequences.append(sequence)
        labels.append(label)
        rows.append(row)
    width = sequences[0].shape[1] if sequences else 0
    names = tuple(f"channel {place}" for place in range(1, width + 1 - stamped))
    return Found((*names, *((INTERVAL,) if stamped else ())), sequences, labels, rows)


def _ts_parts(path: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The entries of the head by their names in small letters, and the numbered lines of data."""
    head: dict[str, str] = {}
    lines = enumerate(read_text(path).split("\n"), 1)
    for row, line in lines:
        line = line.strip()
        if line.lower() == "@data":
            return head, [(row, line.strip()) for row, line in lines if line.strip() and not line.startswith("#")]
        if line.startswith("@"):
            name, _, value = line[1:].partition(" ")
            head[name.lower()] = value.strip() or "false"
        elif line and not line.startswith("#"):
            raise DataError("a line of data comes before @data; write @data above the first", path, row)
    raise DataError("the file has no line @data, which every .ts file has; give a file in the .ts format", path)


def _channels(channels: Sequence[str], words: frozenset[str], path: Path, row: int) -> Numbers:
    values = [as_numbers(channel.split(","), words, path, row) for channel in channels]
    lengths = [len(channel) for channel in values]
    if len(set(lengths)) > 1:
        raise DataError(f"the channels have {_once(lengths)} steps, and a series has one number of them; "
                        "mend the line", path, row)  # fmt: skip
    return as_series(np.stack(values, 1), path, row)


def _once(lengths: Sequence[int]) -> str:
    """Unlike lengths, each once."""
    return ", ".join(map(str, sorted(set(lengths))))


def _stamped(channels: Sequence[str], words: frozenset[str], path: Path, row: int) -> Numbers:
    """Channels of (time,value), which may have times of their own, on all the times that there are."""
    by_channel = []
    for channel in channels:
        pairs = _PAIR.findall(channel)
        if not pairs:
            raise DataError("a channel holds no (time,value), and @timeStamps is true; mend the line", path, row)
        times = as_times([time for time, _ in pairs], "time", path, [row] * len(pairs))
        check_order(times, path, [row] * len(pairs), [time for time, _ in pairs])
        by_channel.append((times, as_numbers([value for _, value in pairs], words, path, row)))
    moments = np.unique(np.concatenate([times for times, _ in by_channel]))
    found = np.full((len(moments), len(by_channel) + 1), np.nan)
    for place, (times, values) in enumerate(by_channel):
        found[np.searchsorted(moments, times), place] = values
    found[:, -1] = intervals(moments)
    return as_series(found, path, row)
