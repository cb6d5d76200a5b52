"""Pretrained word vectors as text: GloVe (Pennington et al. 2014), fastText (Bojanowski et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.data.text import opened
from unrolled.errors import DataError


def load_vectors(path: str | Path, words: Sequence[str]) -> tuple[Numbers, int]:
    """The vectors of `words` as `(V, D)` float32, and how many of the words the file has; the others' rows are zero.

    A line is a word and D numbers with single spaces between; fastText's first line "count D" is recognised. Only the
    wanted lines are turned into numbers, so a large file is read at disk speed. Raises DataError with the bad row.
    """
    path = Path(path)
    places: dict[bytes, list[int]] = {}
    for place, word in enumerate(words):
        places.setdefault(word.encode("utf-8", "surrogatepass"), []).append(place)
    found: dict[bytes, list[float]] = {}
    width = 0
    with opened(path) as file:
        for row, line in enumerate(file, 1):
            line = line.rstrip()
            if row == 1:
                width, header = _width(line, path)
                if header:
                    continue
            if not line:
                continue
            # From the right, because some published words have spaces in them.
            name, *cells = line.rsplit(b" ", width)
            if len(cells) < width:
                raise _bad_line(line, width, path, row)
            if name in places and name not in found:
                found[name] = _numbers(cells, path, row)
    if not width:
        raise DataError("the file is empty; it needs a word and its numbers on each line", path)
    matrix = np.zeros((len(words), width), dtype=np.float32)
    for name, vector in found.items():
        matrix[places[name]] = vector
    return matrix, sum(len(places[name]) for name in found)


def _width(line: bytes, path: Path) -> tuple[int, bool]:
    """How many numbers a vector has, and whether the first line is a header that says so."""
    cells = line.split(b" ")
    header = len(cells) == 2 and cells[0].isdigit() and cells[1].isdigit()
    width = int(cells[1]) if header else len(cells) - 1
    if width < 1 or b"\0" in line:
        raise _bad_line(line, 1, path, 1)
    return width, header


def _bad_line(line: bytes, width: int, path: Path, row: int) -> DataError:
    if b"\0" in line:
        sentence = "this is a binary file, and word vectors as text are needed; give the .vec or .txt form"
        return DataError(sentence, path)
    have = max(0, len(line.split(b" ")) - 1)
    sentence = f"{have} numbers after the word where {width} are needed; mend the line or take it out"
    return DataError(sentence, path, row)


def _numbers(cells: list[bytes], path: Path, row: int) -> list[float]:
    try:
        vector = [float(cell) for cell in cells]
    except ValueError:
        vector = [np.nan]
    if not np.isfinite(vector).all():
        raise DataError("not every cell after the word is a finite number; mend the line or take it out", path, row)
    return vector
