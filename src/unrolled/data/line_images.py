"""Pictures of one line of text as sequences of columns, read by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.data.arrays import Exact, Numbers
from unrolled.data.images import PICTURES, open_picture

IMAGE_FILES = PICTURES
# A line that is so many times as wide as high is no line of text but a mistake.
_WIDEST = 400


def read_columns(path: str | Path, height: int = 32) -> Numbers:
    """A picture as its columns (W, height) from left to right, ink near 1 and paper near 0.

    It is turned as its EXIF entry says, laid on white where it is transparent, made grey and scaled to `height` rows;
    light writing on dark ground is inverted. Raises DataError as `read_image` does.
    """
    grey = open_picture(path).convert("L")
    from PIL import Image

    width = max(1, min(round(grey.width * height / grey.height), _WIDEST * height))
    values = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32).T / 255
    # Paper is what most of the picture is.
    ink = 1 - values if np.median(values) > 0.5 else values
    return np.ascontiguousarray(ink, dtype=np.float32)


def augment_columns(columns: Numbers, rng: np.random.Generator, strength: float = 1.0) -> Numbers:
    """The same line wider or narrower, higher or lower, slanted, fainter and less clean."""
    if strength <= 0:
        return columns
    width, height = columns.shape
    length = max(1, round(width * (1 + strength * rng.uniform(-0.15, 0.15))))
    slant, drop, stretch = strength * rng.uniform(-1, 1, size=3) * (0.3, 0.06 * height, 0.1)
    across, down = np.meshgrid(np.linspace(0, width - 1, length), np.arange(height), indexing="ij")
    middle = (height - 1) / 2
    across = across + slant * (down - middle)
    down = middle + (down - middle) * (1 + stretch) + drop
    found = _at(columns, across, down) * (1 - 0.3 * strength * rng.uniform())
    noise = 0.05 * strength * rng.normal(size=found.shape)
    changed: Numbers = (found + noise).astype(np.float32)
    return changed


def _at(columns: Numbers, across: Exact, down: Exact) -> Exact:
    """Values between the pixels, bilinear; paper (0) beyond the edges."""
    padded = np.pad(columns, 1)
    across, down = (np.clip(p + 1, 0, size - 1) for p, size in zip((across, down), padded.shape, strict=True))
    left, top = (np.minimum(p.astype(np.int64), size - 2) for p, size in zip((across, down), padded.shape, strict=True))
    a, b = across - left, down - top
    upper = padded[left, top] * (1 - a) + padded[left + 1, top] * a
    lower = padded[left, top + 1] * (1 - a) + padded[left + 1, top + 1] * a
    found: Exact = upper * (1 - b) + lower * b
    return found
