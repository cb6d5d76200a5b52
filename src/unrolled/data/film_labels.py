"""What happens when in a film: a label for each of its frames, or for intervals in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.data.film import Film, picture_sequence
from unrolled.data.problems import Problems, listed
from unrolled.data.table import Table, is_table, read_table
from unrolled.data.targets import number_columns
from unrolled.data.text import is_folder
from unrolled.errors import DataError

NOTHING = "none"
"""The label outside all intervals."""


def labels_file(film: Path) -> Path:
    """The table beside a film that has its name, or in a folder of pictures `labels.csv`. Raises DataError."""
    beside = film.with_suffix(".csv") if not is_folder(film) else film.with_name(film.name + ".csv")
    candidates = [beside] if not is_folder(film) else [film / "labels.csv", beside]
    candidates += [file.with_suffix(suffix) for file in candidates for suffix in (".tsv", ".jsonl")]
    for file in candidates:
        if file.exists():
            return file
    raise DataError(f"the film has no labels; write them into {candidates[0]} (columns start, end, label)", film)


def read_film_labels(path: Path, film: Film, column: str = "label", *, skip_bad: bool = False) -> tuple[str, ...]:
    """The label of each of the film's frames at its rate, from a table of one of two forms.

    - `start`, `end`, label: intervals start <= t < end in seconds; outside them the label is "none".
    - `frame`, label: each of the film's own frames, by its number from 0 or, in a folder, by its file's name.

    Raises DataError with the row where a label does not fit the film.
    """
    if not is_table(path):
        raise DataError("labels of a film are a table with columns start, end and label; give a .csv", path)
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    names = [name.strip() for name in table.column(column)]
    for place, name in enumerate(names):
        if not name:
            sentence = f"the label in column {column!r} is empty; write one there or take the row out"
            problems.report(DataError(sentence, path, table.rows[place]))
    if "frame" in table.columns:
        return _by_frame(table, names, film)
    if not {"start", "end"} <= set(table.columns):
        there = listed(table.columns)
        raise DataError(f"the columns are {there}, and start and end (seconds) or frame are needed; name them so", path)
    return _by_interval(table, names, film, problems)


def _by_interval(table: Table, names: list[str], film: Film, problems: Problems) -> tuple[str, ...]:
    bounds, good = number_columns(table, ("start", "end"), problems)
    found = np.full(len(film), NOTHING, dtype=object)
    times = np.array([film.time(place) for place in range(len(film))])
    before: tuple[float, float, int] | None = None
    # A frame may be labelled to the end of its own second fraction.
    longest = film.seconds + 1 / film.rate
    for place in np.lexsort((bounds[:, 1], bounds[:, 0])).tolist():
        if not good[place] or not names[place]:
            continue
        start, end = bounds[place].tolist()
        row = table.rows[place]
        wrong = None
        if not 0 <= start < end:
            wrong = f"the interval from {start:g} to {end:g} s is empty or begins before the film; mend it"
        elif end > longest:
            wrong = (
                f"the interval ends at {end:g} s and {film.path.name} lasts {film.seconds:.2f} s; give its own labels"
            )
        elif before is not None and start < before[1]:
            wrong = f"the interval from {start:g} s overlaps that of row {before[2]} (to {before[1]:g} s); mend one"
        if wrong is not None:
            problems.report(DataError(wrong, table.path, row))
            continue
        before = (start, end, row)
        found[(times >= start - 1e-6) & (times < end - 1e-6)] = names[place]
    return tuple(found.tolist())


def _by_frame(table: Table, names: list[str], film: Film) -> tuple[str, ...]:
    numbers = _frame_numbers(table, film)
    own: dict[int, str] = {}
    for number, name, row in zip(numbers, names, table.rows, strict=True):
        if number in own:
            raise DataError("this frame has a label in an earlier row; take one of them out", table.path, row)
        own[number] = name
    count = len(film.times)
    absent = next((number for number in range(count) if number not in own), None)
    if absent is not None:
        raise DataError(
            f"{len(own):,} frames have labels and {film.path.name} has {count:,}, of which frame {absent} has none; "
            "label them all",
            table.path,
        )
    return tuple(own[film.own(place)] for place in range(len(film)))


def _frame_numbers(table: Table, film: Film) -> list[int]:
    """The number of the frame that each row names."""
    cells = table.column("frame")
    files = {file.name: n for n, file in enumerate(picture_sequence(film.path))} if is_folder(film.path) else {}
    found = []
    for cell, row in zip(cells, table.rows, strict=True):
        number = files.get(cell.strip(), int(cell) if cell.strip().isdecimal() else -1)
        if not 0 <= number < len(film.times):
            raise DataError(
                f"there is no frame {cell!r} in {film.path.name}, whose {len(film.times):,} frames are counted from 0; "
                "give the labels of this film",
                table.path,
                row,
            )
        found.append(number)
    return found
