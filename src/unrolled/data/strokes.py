"""Pen strokes from JSON points, InkML and IAM-OnDB XML: points (T, 3) of x, y and 1 where a stroke begins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from unrolled.data.arrays import Numbers
from unrolled.data.text import opened
from unrolled.errors import DataError

STROKE_FILES = (".inkml", ".xml")


def read_strokes(path: str | Path) -> Numbers:
    """The strokes of an InkML file (W3C 2011) or of a capture session of IAM-OnDB (Liwicki and Bunke 2005).

    Raises DataError for malformed XML, another document, a stroke without points and numbers that are none.
    """
    path = Path(path)
    root = _parse(path)
    reader = _READERS.get(_name(root))
    if reader is None:
        raise DataError(
            f"the XML holds <{_name(root)}>, and <ink> (InkML) or <WhiteboardCaptureSession> (IAM-OnDB) is needed; "
            "convert the file",
            path,
        )
    return join_strokes(reader(root, path), path)


def points_of(value: object, path: Path, row: int | None) -> Numbers:
    """Points from JSON: a list of points, or a list of strokes that are such lists; a point is [x, y] or longer.

    What follows x and y in a point, such as time or pressure, is not used. Raises DataError.
    """
    strokes: Any = value
    if isinstance(value, list) and value and all(_is_point(point) for point in value):
        strokes = [value]
    if not isinstance(strokes, list) or not all(
        isinstance(stroke, list) and all(_is_point(point) for point in stroke) for stroke in strokes
    ):
        raise DataError("the strokes are no JSON list of points [x, y] or of lists of them; mend the row", path, row)
    return join_strokes([[point[:2] for point in stroke] for stroke in strokes], path, row)


def join_strokes(strokes: Iterable[Sequence[Any]], path: Path, row: int | None = None) -> Numbers:
    """Strokes (n, 2) one after the other as points (T, 3). Raises DataError where one has no point."""
    parts: list[npt.NDArray[np.float64]] = []
    for place, stroke in enumerate(strokes, 1):
        if not len(stroke):
            raise DataError(f"stroke {place} has no points; take it out", path, row)
        points = np.zeros((len(stroke), 3))
        try:
            points[:, :2] = stroke
        except OverflowError:  # a whole number that no float holds
            points[:] = np.inf
        points[0, 2] = 1
        parts.append(points)
    if not parts:
        raise DataError("there is no stroke in it; give at least one point", path, row)
    points = np.concatenate(parts)
    if not (np.abs(points) <= np.finfo(np.float32).max).all():
        raise DataError("a coordinate is not a finite number; mend it or take the point out", path, row)
    return points.astype(np.float32)


def pen_features(points: Numbers, *, shape: bool = True, whole: bool = True) -> Numbers:
    """What changes from point to point, (T, 3) -> (T, 7): dx, dy, y, cos and sin of the direction, length, new stroke.

    Without `shape` only dx, dy and whether a stroke begins (Graves 2013), (T, 3). `whole`: in units of the spread of
    all y, y from their mean; else as they came, y from the first point, so that no step needs a later one.
    """
    places = points[:, :2].astype(np.float64)
    places -= places.mean(0) if whole else places[0]
    if whole:
        places /= _size(places)
    steps = np.diff(places, axis=0, prepend=places[:1])
    columns: list[npt.NDArray[Any]] = [steps, points[:, 2:]]
    if shape:
        lengths = np.hypot(steps[:, :1], steps[:, 1:])
        directions = np.divide(steps, lengths, out=np.zeros_like(steps), where=lengths > 0)
        columns = [steps, places[:, 1:], directions, lengths, points[:, 2:]]
    found: Numbers = np.concatenate(columns, axis=1).astype(np.float32)
    return found


def augment_points(points: Numbers, rng: np.random.Generator, strength: float = 1.0) -> Numbers:
    """Another hand that writes the same: turned, slanted, wider or higher, each by about a tenth, and unsteady."""
    if strength <= 0:
        return points
    angle, slant = strength * rng.normal(0, (0.1, 0.2))
    wide, high = np.exp(strength * rng.normal(0, 0.1, size=2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = points[:, :2] @ (np.array([[wide, slant], [0, high]]) @ turn).T
    places += 0.04 * strength * _size(points) * rng.normal(size=places.shape)
    return np.concatenate([places, points[:, 2:]], axis=1).astype(np.float32)


def _size(points: npt.NDArray[np.floating]) -> float:
    """The spread of y, of x where all y are equal, 1 for a single place."""
    across, up = points[:, :2].std(0)
    return float(up or across or 1.0)


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(part, int | float) and not isinstance(part, bool) for part in value[:2])
    )


def _parse(path: Path) -> ElementTree.Element:
    with opened(path) as file:
        data = file.read()
    # No stroke needs an entity, and those that refer to each other can fill the memory.
    if b"<!ENTITY" in data:
        raise DataError("the XML defines entities, which are not read; write it without them", path)
    try:
        return ElementTree.fromstring(data)  # noqa: S314 - without entities there is nothing to expand
    except ElementTree.ParseError as error:
        line, column = error.position
        reason = str(error).split(":")[0]
        raise DataError(
            f"the XML is malformed ({reason}, column {column + 1}); write the file again", path, line
        ) from None


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _named(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if _name(element) == name)


def _iam(root: ElementTree.Element, path: Path) -> Iterator[list[list[float]]]:
    for stroke in _named(root, "Stroke"):
        yield [[_number(point.get(axis), axis, path) for axis in ("x", "y")] for point in _named(stroke, "Point")]


def _number(text: str | None, what: str, path: Path) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"{what} of a point is {text!r}, and a number is needed; mend it", path) from None


def _inkml(root: ElementTree.Element, path: Path) -> Iterator[list[list[float]]]:
    channels = [str(channel.get("name")) for channel in _named(root, "channel")] or ["X", "Y"]
    if not {"X", "Y"} <= set(channels):
        raise DataError(f"the trace format has the channels {', '.join(channels)}, and X and Y are needed", path)
    axes = [channels.index("X"), channels.index("Y")]
    for trace in _named(root, "trace"):
        if trace.get("type", "penDown") == "penDown":
            yield _trace(trace.text or "", axes, path)


_VALUE = re.compile(r"\s*(['\"!]?)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[TF*?])")


def _trace(text: str, axes: list[int], path: Path) -> list[list[float]]:
    """The points of one trace; ' marks first differences, " second ones, ! plain values, and a mark stays in force."""
    decoders: list[_Channel] = []
    points = []
    for written in filter(str.strip, text.split(",")):
        values = _VALUE.findall(written)
        if _VALUE.sub("", written).strip() or len(values) <= max(axes):
            raise DataError(f"a point of a trace is {written.strip()!r}, and x and y are needed; mend it", path)
        decoders += [_Channel() for _ in values[len(decoders) :]]
        numbers = [decoder.read(*value) for decoder, value in zip(decoders, values, strict=False)]
        points.append([numbers[axis] for axis in axes])
    return points


class _Channel:
    """One channel of a trace as InkML writes it: values, differences or differences of differences."""

    def __init__(self) -> None:
        self.mark = "!"
        self.value = 0.0
        self.speed = 0.0

    def read(self, mark: str, written: str) -> float:
        self.mark = mark or self.mark
        if written in "TF*?":  # a truth value, the same again, not known
            return self.value
        number = float(written)
        before = self.value
        if self.mark == '"':
            self.value += self.speed + number
        else:
            self.value = number if self.mark == "!" else before + number
        self.speed = self.value - before
        return self.value


_READERS: dict[str, Callable[[ElementTree.Element, Path], Iterator[list[list[float]]]]] = {
    "ink": _inkml,
    "WhiteboardCaptureSession": _iam,
}
