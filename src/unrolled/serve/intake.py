"""What the clients of a run send: its inputs as JSON or as files, checked, before any network sees them."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.arrays import Numbers
from unrolled.data.strokes import points_of
from unrolled.errors import DataError
from unrolled.serve.messages import kind_of, short
from unrolled.serve.refusal import Refusal, sentence

_LARGEST = float(np.finfo(np.float32).max)
TABLES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class Item:
    """One input as the task takes it, and how many steps it has."""

    value: Any = field(repr=False)
    steps: int


@dataclass(frozen=True)
class Later:
    """A value that is made when its size has been found good."""

    make: Callable[[], Any]


Read = Callable[[Path, int], "list[Item]"]
Parse = Callable[[Any, str], Item]


@dataclass(frozen=True)
class Intake:
    """How the inputs of one run are read.

    `parse` takes an input of a JSON request and what it is called in a sentence; `read` a file, whose name ends in one
    of `suffixes`, and the most steps that it may have. `told` is for clients: what a page must know to ask for input.
    """

    kind: str
    parse: Parse | None
    read: Read | None = None
    suffixes: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)
    example: Any = None

    def items(self, inputs: Any, most: int, steps: int) -> list[Item]:
        """The inputs of a JSON request; at most `most`, of `steps` steps in all. Raises Refusal (422)."""
        if self.parse is None:
            raise Refusal(422, f"This model reads {self.kind} from files; send them as multipart/form-data (file).")
        if not isinstance(inputs, list) or not inputs:
            raise Refusal(422, f"inputs is {_what(inputs)}; give a list of at least one input.")
        if len(inputs) > most:
            raise Refusal(422, f"{len(inputs):,} inputs are more than the {most:,} of a request; send fewer at once.")
        found = [self.parse(value, f"input {place}") for place, value in enumerate(inputs, 1)]
        return checked(found, steps)

    def files(self, paths: Sequence[Path], most: int, steps: int) -> list[Item]:
        """The inputs of uploaded files. Raises Refusal (422) and DataError."""
        if self.read is None:
            raise Refusal(415, f"This model reads {self.kind} from JSON, not from files; send inputs.")
        found = [item for path in paths for item in self.read(path, steps)]
        if len(found) > most:
            raise Refusal(422, f"{len(found):,} inputs are more than the {most:,} of a request; send fewer at once.")
        return checked(found, steps)

    def suffix(self, name: str) -> str:
        """The suffix of an uploaded file's name, one that this intake knows. Raises Refusal (415)."""
        found = Path(name).suffix.lower()
        if found not in self.suffixes:
            known = ", ".join(self.suffixes)
            raise Refusal(415, f"The file's name ends in {short(found)}, and one of {known} is needed; convert it.")
        return found

    def describe(self) -> dict[str, Any]:
        """The same for clients."""
        return {
            "kind": self.kind,
            "json": self.parse is not None,
            "files": list(self.suffixes),
            **self.told,
            "example": self.example,
        }


def checked(items: list[Item], steps: int) -> list[Item]:
    """The items, values made, if together they have at most so many steps and each at least one. Refusal (422)."""
    total = sum(item.steps for item in items)
    if total > steps:
        raise Refusal(
            422, f"The input has {total:,} steps, and {steps:,} are the most of a request; send less at once."
        )
    if any(item.steps < 1 for item in items):
        place = next(place for place, item in enumerate(items, 1) if item.steps < 1)
        raise Refusal(422, f"Input {place} is empty; give at least one step.")
    return [Item(item.value.make(), item.steps) if isinstance(item.value, Later) else item for item in items]


def too_long(steps: float, most: int) -> Refusal:
    """A file whose length is known before it is read."""
    return Refusal(422, f"The file has {steps:,.0f} steps, and {most:,} are the most of a request; send a shorter one.")


def _what(value: Any) -> str:
    return "an empty list" if value == [] else kind_of(value)


def text(value: Any, what: str) -> Item:
    """A text."""
    if not isinstance(value, str):
        raise Refusal(422, f"{what.capitalize()} is {kind_of(value)}, and this model reads texts; give a text.")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Refusal(422, f"{what.capitalize()} has half a character (a lone surrogate); send whole characters.")
    return Item(value, len(value))


def words(value: Any, what: str) -> Item:
    """A sentence as a list of words, or as a text that is split at white space."""
    if isinstance(value, str):
        value = text(value, what).value.split()
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
        raise Refusal(422, f"{what.capitalize()} is {_inside(value, 'words')}; give a text or a list of words.")
    return Item([text(word, what).value for word in value], len(value))


def _inside(value: Any, things: str) -> str:
    return f"a list of other things than {things}" if isinstance(value, list) else kind_of(value)


def rows(width: int, *, missing: bool = False) -> Parse:
    """Rows of `width` numbers; of one number each, plain numbers will do. null where a value may be missing."""

    def parse(value: Any, what: str) -> Item:
        if not isinstance(value, list):
            raise Refusal(422, f"{what.capitalize()} is {kind_of(value)}; give a list of rows of {width} numbers.")
        found = np.empty((len(value), width), np.float32)
        for place, row in enumerate(value):
            cells = [row] if width == 1 and not isinstance(row, list) else row
            if not isinstance(cells, list) or len(cells) != width:
                given = f"{len(cells)} numbers" if isinstance(cells, list) else kind_of(cells)
                raise Refusal(
                    422, f"Row {place + 1} of {what} is {given}, and this model reads {width} a step; give {width}."
                )
            found[place] = [number(cell, f"row {place + 1} of {what}", missing=missing) for cell in cells]
        return Item(found, len(found))

    return parse


def number(value: Any, what: str, *, missing: bool = False) -> float:
    """A finite number of single precision; NaN for null where it may be missing. Raises Refusal (422)."""
    if value is None and missing:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Refusal(422, f"{what.capitalize()} holds {kind_of(value)}; give numbers.")
    if not -_LARGEST <= value <= _LARGEST:  # true for NaN and for whole numbers that no float holds
        raise Refusal(422, f"{what.capitalize()} holds a number that is not finite or too large; give another.")
    return float(value)


def samples(steps_a_sample: float, features: Callable[[Numbers], Numbers]) -> Parse:
    """Sound as a list of numbers from -1 to 1 at the run's rate."""

    def parse(value: Any, what: str) -> Item:
        found = numbers(value, what)
        return Item(Later(lambda: features(found)), math.ceil(len(found) * steps_a_sample))

    return parse


def numbers(value: Any, what: str) -> Numbers:
    """A plain list of numbers (N,). Raises Refusal (422)."""
    if not isinstance(value, list):
        raise Refusal(422, f"{what.capitalize()} is {kind_of(value)}; give a list of numbers.")
    return np.array([number(cell, what) for cell in value], np.float32)


def strokes(value: Any, what: str) -> Item:
    """Pen strokes: a list of points [x, y], or of strokes that are such lists. Raises Refusal and DataError."""
    points = points_of(value, Path(what), None)
    return Item(points, len(points))


def as_table(value: Any, what: str, columns: Sequence[str], folder: Path) -> Path:
    """Rows that are objects, or plain numbers where there is a single column, as a .csv for the run's own reader."""
    if not isinstance(value, list):
        raise Refusal(422, f"{what.capitalize()} is {kind_of(value)}; give a list of rows.")
    plain = all(not isinstance(row, dict) for row in value)
    if plain and len(columns) != 1:
        raise Refusal(422, f"{what.capitalize()} needs rows with {', '.join(columns)}; give a list of objects.")
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for place, row in enumerate(value, 1):
            if not plain and not isinstance(row, dict):
                raise Refusal(422, f"Row {place} of {what} is {kind_of(row)} and others are objects; give one kind.")
            cells = [row] if plain else [row.get(name) for name in columns]
            writer.writerow([_cell(cell, f"row {place} of {what}") for cell in cells])
    return path


def of_rows(error: DataError) -> Refusal:
    """What a reader says of rows that came as JSON: they are counted without the line that names the columns."""
    words = str(error)
    if error.path is None:
        return Refusal(422, sentence(words))
    where = f"{error.path}, row {error.row}: " if error.row is not None else f"{error.path}: "
    said = words.removeprefix(where)
    row = "" if error.row is None or error.row < 2 else f"Row {error.row - 1} of an input: "
    return Refusal(422, sentence(row + said))


def _cell(value: Any, what: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return repr(number(value, what))
