"""Films: a video file or a folder of pictures, read a frame at a time at a stated rate, in constant memory."""

from __future__ import annotations

import contextlib
import importlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.images import PICTURES, Pixels, read_image
from unrolled.data.problems import listed
from unrolled.data.text import is_folder, missing
from unrolled.errors import ArgumentError, DataError

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".ogv")
# Times are multiples of some fraction of a second, and come as rounded numbers.
_NEARLY = 1e-6


@dataclass(frozen=True)
class Film:
    """Frames `first` ... `first + count - 1` of a film looked at `rate` times a second, each (size, size, 3) bytes.

    A frame is scaled until its longer side fits and put into the middle of a grey square. `times` are the seconds at
    which the film's own frames are shown, from 0; `seconds` is how long it lasts. A slice of a film is a film.
    """

    path: Path
    rate: float
    size: int
    count: int
    times: tuple[float, ...] = field(repr=False)
    seconds: float
    first: int = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> Film:
        start, stop, step = part.indices(self.count)
        if step != 1:
            raise ArgumentError(f"a film cannot be cut in steps of {step}; give a slice of neighbouring frames")
        return replace(self, first=self.first + start, count=max(0, stop - start))

    @property
    def whole(self) -> Film:
        """The film that this is a part of."""
        return replace(self, first=0, count=frame_count(self.seconds, self.rate))

    def time(self, place: int) -> float:
        """Seconds from the film's beginning to the frame at `place` of this part."""
        return (self.first + place) / self.rate

    def own(self, place: int) -> int:
        """The number of the film's own frame, from 0, that is shown at `place`."""
        return max(0, bisect_right(self.times, self.time(place) + _NEARLY) - 1)

    def frames(self) -> Iterator[Pixels]:
        """The frames in their order, decoded as they are asked for. Raises DataError where the film is damaged."""
        wanted = [self.own(place) for place in range(self.count)]
        if not wanted:
            return iter(())
        return self._pictures(wanted) if is_folder(self.path) else self._decoded(wanted)

    def _pictures(self, wanted: list[int]) -> Iterator[Pixels]:
        files = picture_sequence(self.path)
        for number in wanted:
            yield read_image(files[number], self.size)

    def _decoded(self, wanted: list[int]) -> Iterator[Pixels]:
        """Own frames `wanted`, rising, some of them perhaps several times."""
        with _decoding(self.path) as container:
            stream = container.streams.video[0]
            begin = _begin(stream)
            if wanted[0]:
                # To the key frame before; from there all frames up to the wanted one have to be decoded.
                container.seek(int((begin + self.times[wanted[0]]) / stream.time_base), stream=stream, backward=True)
            place = 0
            held = None
            for frame in container.decode(stream):
                if frame.pts is None:
                    continue
                number = bisect_right(self.times, float(frame.pts * stream.time_base) - begin + _NEARLY) - 1
                while place < len(wanted) and wanted[place] < number:
                    # A key frame after the wanted one: the film's index is wrong, and this is the nearest picture.
                    yield _pixels(frame, self.size) if held is None else held
                    place += 1
                if place == len(wanted):
                    return
                if number >= wanted[place]:
                    held = _pixels(frame, self.size)
                    while place < len(wanted) and wanted[place] == number:
                        yield held
                        place += 1
            if place < len(wanted):
                at = self.times[wanted[place]]
                raise DataError(f"the film cannot be decoded from {at:.2f} s on; it is cut short or damaged", self.path)


def open_film(path: str | Path, *, rate: float = 5.0, size: int = 64) -> Film:
    """A film looked at `rate` times a second; the pictures of a folder are 1 / rate seconds apart.

    Raises DataError for what is no film, and ArgumentError for a rate or a size that is not above 0.
    """
    path = Path(path)
    if not rate > 0 or size < 1:
        raise ArgumentError(f"rate={rate} and size={size} must be above 0; give frames a second and pixels a side")
    if is_folder(path):
        times = [number / rate for number in range(len(picture_sequence(path)))]
        seconds = len(times) / rate
    else:
        times, seconds = _times(path)
    return Film(path, rate, size, frame_count(seconds, rate), tuple(times), seconds)


def frame_count(seconds: float, rate: float) -> int:
    """How many times a film is looked at: at 0, 1 / rate, 2 / rate, ... before its end."""
    return max(1, int(np.ceil(seconds * rate - _NEARLY)))


def find_films(path: str | Path) -> list[Path]:
    """The film itself, or the films of a folder: video files, and subfolders of pictures. Raises DataError."""
    path = Path(path)
    if is_film(path):
        return [path]
    found = [entry for entry in sorted(path.iterdir()) if is_film(entry)] if is_folder(path) else []
    if not found:
        kinds = ", ".join(VIDEOS)
        raise DataError(
            f"there is no film; give a video file ({kinds}), a folder of pictures, or a folder of films", path
        )
    return found


def is_film(path: Path) -> bool:
    """Whether a path looks like a film by its name, or by pictures inside it."""
    if is_folder(path):
        return any(entry.suffix.lower() in PICTURES for entry in path.iterdir())
    return path.suffix.lower() in VIDEOS


def picture_sequence(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names: frame-2 before frame-10."""
    found = [entry for entry in folder.iterdir() if entry.suffix.lower() in PICTURES]
    if not found:
        raise DataError(f"the folder has no picture; put frames there that end in {listed(PICTURES)}", folder)
    return sorted(found, key=lambda file: [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", file.name)])


def _times(path: Path) -> tuple[list[float], float]:
    """When each frame of a video is shown, and when the last one ends; found without decoding."""
    with _decoding(path) as container:
        stream = container.streams.video[0]
        begin = _begin(stream)
        packets = [(p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None]
        shown = sorted(
            (float(pts * stream.time_base) - begin, float(length * stream.time_base)) for pts, length in packets
        )
        rate = float(stream.average_rate or 0)
    shown = [(time, length) for time, length in shown if time > -_NEARLY]
    if not shown:
        raise DataError("the film has no frames; write it again or give another file", path)
    last, length = shown[-1]
    return [time for time, _ in shown], last + (length or (1 / rate if rate else 0.04))


def _begin(stream: Any) -> float:
    return float((stream.start_time or 0) * stream.time_base)


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[Any]:
    """The film opened by PyAV, with a picture in it; DataError for what goes wrong until it is closed."""
    try:
        av = importlib.import_module("av")
    except ImportError:
        raise DataError(
            "reading films needs av, which is not installed; run \"pip install 'unrolled[media]'\"", path
        ) from None
    if not path.exists():
        raise missing(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError("the file has sound but no picture; give a film", path)
            yield container
    except DataError:
        raise
    # FFmpegError is what the film's library says, ValueError what PyAV makes of damaged names, sizes and times.
    except (av.FFmpegError, ValueError, OverflowError, MemoryError, ZeroDivisionError) as error:
        said = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(f"the film cannot be read ({said}); write it again or give another file", path) from None


def _pixels(frame: Any, size: int) -> Pixels:
    """A decoded frame (size, size, 3), in the middle of a grey square."""
    scale = size / max(frame.width, frame.height)
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
    canvas = np.full((size, size, 3), 127, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas
