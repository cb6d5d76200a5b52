"""Pictures with captions: the table that names them, and each picture as bytes of one square size."""

from __future__ import annotations

import importlib
import json
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unrolled.data.archive import finite, load_arrays
from unrolled.data.arrays import Numbers
from unrolled.data.problems import Problems, nearest
from unrolled.data.table import read_table
from unrolled.data.text import is_folder, opened
from unrolled.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
# Named, because Pillow would hand other kinds to programs outside, such as PostScript to Ghostscript.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
_WHITE, _BORDER = (255, 255, 255, 255), (127, 127, 127)
# What Pillow's decoders raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, struct.error, zlib.error, MemoryError,
    OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Captioned:
    """Pictures, each once, with all their captions.

    `names[k]` is the picture as the table calls it, `files[k]` where it lies, `rows[k]` the first row that names it.
    `captions[k]` is empty where the table was read without captions.
    """

    path: Path
    names: list[str] = field(repr=False)
    files: list[Path] = field(repr=False)
    captions: list[tuple[str, ...]] = field(repr=False)
    rows: list[int] = field(repr=False)
    groups: list[str] | None = field(default=None, repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def take(self, places: Iterable[int], skipped: Sequence[DataError] = ()) -> Captioned:
        """The pictures at these places, in this order; `skipped` are more that were left out."""
        kept = list(places)
        return Captioned(
            self.path,
            [self.names[k] for k in kept],
            [self.files[k] for k in kept],
            [self.captions[k] for k in kept],
            [self.rows[k] for k in kept],
            None if self.groups is None else [self.groups[k] for k in kept],
            (*self.skipped, *skipped),
        )


def read_captions(
    path: str | Path,
    image: str = "image",
    caption: str | None = "caption",
    *,
    folder: Path | None = None,
    group: str | None = None,
    skip_bad: bool = False,
) -> Captioned:
    """The pictures that a table names, relative to `folder` (by default the table's own), with their captions.

    A picture has several captions by several rows, or by a list in one cell (JSON). `caption=None` reads the pictures
    alone. Raises DataError, with the row, for an empty cell; whether the pictures are there is not looked at.
    """
    path = Path(path)
    table = read_table(path, skip_bad=skip_bad)
    problems = Problems(skip_bad, table.skipped)
    names = table.column(image)
    cells = [None] * len(table) if caption is None else table.column(caption)
    groups = None if group is None else table.column(group)
    found: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    for place, (name, cell, row) in enumerate(zip(names, cells, table.rows, strict=True)):
        name = name.strip()
        try:
            if not name:
                raise DataError(f"column {image!r} names no picture; write its file there", path, row)
            given = [] if cell is None else _captions(cell, str(caption), path, row)
        except DataError as error:
            problems.report(error)
            continue
        found.setdefault(name, []).extend(given)
        first.setdefault(name, place)
    if not found:
        none = "no row of the table can be used; give at least one picture with a caption"
        raise DataError(problems.instead(none), path)
    root = path.parent if folder is None else folder
    return Captioned(
        path,
        list(found),
        [root / name for name in found],
        [tuple(given) for given in found.values()],
        [table.rows[first[name]] for name in found],
        None if groups is None else [groups[first[name]] for name in found],
        tuple(problems.found),
    )


def _captions(cell: str, column: str, path: Path, row: int) -> list[str]:
    given = [cell]
    if cell.lstrip().startswith("["):
        try:
            listed = json.loads(cell)
        except ValueError:
            listed = None  # a caption that begins with a bracket
        if isinstance(listed, list):
            given = [text if isinstance(text, str) else "" for text in listed]
    if not given or not all(text.strip() for text in given):
        raise DataError(f"a caption in column {column!r} is empty; write one there or take the row out", path, row)
    return given


def load_pictures(data: Captioned, size: int, *, skip_bad: bool = False) -> tuple[Captioned, Pixels]:
    """Every picture as `read_image` reads it, (N, size, size, 3), and the data without those that cannot be read.

    Raises DataError with the table's row and the picture's own sentence.
    """
    problems = Problems(skip_bad)
    pixels = np.empty((len(data), size, size, 3), dtype=np.uint8)
    kept: list[int] = []
    for place, (file, row) in enumerate(zip(data.files, data.rows, strict=True)):
        try:
            pixels[len(kept)] = read_image(file, size)
        except DataError as error:
            problems.report(DataError(str(error), data.path, row))
        else:
            kept.append(place)
    if not kept:
        raise DataError("none of its pictures can be read; give at least one", data.path)
    return data.take(kept, problems.found), pixels[: len(kept)]


def picture_files(path: Path) -> list[Path]:
    """The picture itself, or those of a folder and its subfolders, hidden ones apart, in the order of their paths.

    Raises DataError for a folder without one.
    """
    if not is_folder(path):
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in PICTURES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise DataError(f"the folder has no picture; put files there that end in {', '.join(PICTURES)}", path)
    return found


def read_image(path: str | Path, size: int) -> Pixels:
    """A picture as (size, size, 3) bytes of red, green and blue, rows from the top.

    It is scaled until its longer side fits, and put into the middle with a grey border. Raises DataError as
    `open_picture` does.
    """
    return _square(open_picture(path, enough=max(1, size)), size)


def array_image(values: npt.NDArray[Any], size: int) -> Pixels:
    """Bytes (H, W, 3), (H, W, 4) or (H, W) as `read_image` reads a file of them. Raises ArgumentError."""
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,), (4,)):
        raise ArgumentError(
            f"a picture is {values.shape} of {values.dtype}; give bytes (uint8) of shape (H, W, 3), (H, W, 4) or (H, W)"
        )
    if not values.size:
        raise ArgumentError(f"a picture of shape {values.shape} has no pixels; give one of at least 1 x 1")
    if values.shape == (size, size, 3):
        return values
    _need_pillow(None)
    from PIL import Image

    return _square(_rgb(Image.fromarray(values)), size)


def _square(upright: Image.Image, size: int) -> Pixels:
    if size < 1:
        raise ArgumentError(f"size={size} leaves no room for a picture; give at least 1 pixel")
    from PIL import Image

    scale = size / max(upright.size)
    width, height = (max(1, round(side * scale)) for side in upright.size)
    canvas = Image.new("RGB", (size, size), _BORDER)
    fitted = upright.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(fitted, ((size - width) // 2, (size - height) // 2))
    return np.asarray(canvas, dtype=np.uint8)


def open_picture(path: str | Path, *, enough: int | None = None) -> Image.Image:
    """A picture in red, green and blue, turned as its EXIF entry says, laid on white where it is transparent.

    Reads JPEG, PNG, GIF (its first picture), BMP, WebP and TIFF; a JPEG may come smaller, with `enough` pixels a side
    or more. Raises DataError for a file that is missing, no picture, damaged or empty.
    """
    path = Path(path)
    _need_pillow(path)
    from PIL import Image, UnidentifiedImageError

    with opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=_FORMATS) as image:
                return _upright(image, enough, path)
        except DataError:
            raise
        except UnidentifiedImageError:
            raise DataError(_unknown(path), path) from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            most = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
            raise DataError(f"the picture has more than {most} pixels; make it smaller", path) from None
        except _DAMAGE as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"the picture is damaged or cut short ({said}); copy the file again", path) from None


def _need_pillow(path: Path | None) -> None:
    try:
        importlib.import_module("PIL")
    except ImportError:
        raise DataError(
            "reading pictures needs Pillow, which is not installed; run \"pip install 'unrolled[media]'\"", path
        ) from None


def _unknown(path: Path) -> str:
    if not path.stat().st_size:
        return "the file is empty, and a picture is needed; copy it again"
    kinds = ", ".join(_FORMATS)
    return f"this is no picture of a kind that can be read ({kinds}), or it has no pixels; give another file"


def _upright(image: Image.Image, enough: int | None, path: Path) -> Image.Image:
    from PIL import ImageOps

    if 0 in image.size:
        raise DataError(f"the picture has {image.width} x {image.height} pixels; give one of at least 1 x 1", path)
    if enough is not None:
        image.draft("RGB", (enough, enough))  # a JPEG is decoded no larger than is needed
    return _rgb(ImageOps.exif_transpose(image))


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):  # Pillow cuts 16 bits off at 255 instead of scaling them
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, _WHITE), clear).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class Features:
    """Regions of pictures computed beforehand: `values` (N, R, C) float32, a row for each of `names`."""

    path: Path
    values: Numbers = field(repr=False)
    place: dict[str, int] = field(repr=False)

    def of(self, data: Captioned, *, skip_bad: bool = False) -> tuple[Captioned, Numbers]:
        """The regions of each picture, and the data without those that have none. Raises DataError with the row."""
        problems = Problems(skip_bad)
        kept = []
        for place, (name, row) in enumerate(zip(data.names, data.rows, strict=True)):
            if name in self.place:
                kept.append(place)
            else:
                near = nearest(name, self.place)
                sentence = f"{self.path} has no features of the picture {name!r}{near}; compute them or mend the name"
                problems.report(DataError(sentence, data.path, row))
        if not kept:
            raise DataError(f"{self.path} has features of none of its pictures; compute them", data.path)
        return data.take(kept, problems.found), self.values[[self.place[data.names[k]] for k in kept]]


def read_features(path: str | Path) -> Features:
    """The arrays "names" (N,) and "features" (N, R, C), or (N, C) for one region, of an .npz file. DataError."""
    path = Path(path)
    arrays = load_arrays(path, ("names", "features"))
    names, values = arrays["names"], finite(arrays["features"], "features", path)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"array 'names' is {names.dtype} of shape {names.shape}; give one text for each picture", path)
    if values.ndim not in (2, 3) or 0 in values.shape or len(values) != len(names):
        raise DataError(
            f"array 'features' has shape {values.shape} for {len(names)} names; give (names, regions, numbers)", path
        )
    place = {name: k for k, name in enumerate(names.tolist())}
    if len(place) < len(names):
        twice = next(name for k, name in enumerate(names.tolist()) if place[name] != k)
        raise DataError(f"array 'names' has {twice!r} twice; give each picture once", path)
    return Features(path, values if values.ndim == 3 else values[:, None], place)
