"""A page that shows pictures with their captions and where the model looked at each word: one file, nothing to load."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from unrolled.data.images import Pixels, read_image
from unrolled.tasks.caption_text import Caption

SIDE = 256
_DARKEST = 0.8

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222;
  background: #fff; }
section { display: flex; gap: 1.5rem; padding: 1.5rem 0; border-top: 1px solid #ccc; align-items: flex-start; }
.whole, .look { background-size: 100% 100%; }
.whole { width: 12rem; height: 12rem; flex: none; }
.look { width: 6rem; height: 6rem; }
.look img { width: 100%; height: 100%; display: block; }
.words { display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; text-align: center; }
figcaption { font-size: .9rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0; } p { margin: 0 0 1rem; color: #666; font-size: .85rem;
  overflow-wrap: anywhere; }
"""


def caption_page(title: str, files: Sequence[Path], captions: Sequence[Caption], *, corners: bool = True) -> str:
    """HTML with a part for each picture; a word's picture is dark where the model did not look.

    With `corners` the middle of a region is the upper left corner of its square, as where convolutions with stride 2
    make them. A file that is not there (features computed beforehand) is left out of its part. Raises DataError for one
    that cannot be read.
    """
    pictures = [read_image(file, SIDE) if file.exists() else None for file in files]
    style = _STYLE + "".join(
        f".p{k} {{ background-image: url({_picture(pixels)}); }}\n"
        for k, pixels in enumerate(pictures)
        if pixels is not None
    )
    parts = [
        _part(k, file, caption, seen=pixels is not None, corners=corners)
        for k, (file, caption, pixels) in enumerate(zip(files, captions, pictures, strict=True))
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{style}</style>\n<h1>{escape(title)}</h1>\n'
        "<p>Under each picture's caption: the picture at each word, dark where the model did not look.</p>\n"
        + "\n".join(parts)
        + "\n</html>\n"
    )


def _part(number: int, file: Path, caption: Caption, *, seen: bool, corners: bool) -> str:
    whole = f'<div class="whole p{number}" role="img" aria-label="{escape(caption.text)}"></div>' if seen else ""
    looks = []
    for unit, looked in zip(caption.units, caption.attention, strict=False):
        mask = _mask(looked, corners=corners)
        if mask is not None:
            tile = f'<div class="look p{number}"><img src="{mask}" alt=""></div>'
            looks.append(f"<figure>{tile}<figcaption>{escape(unit)}</figcaption></figure>")
    sure = f"probability {math.exp(caption.log_probability):.1%}"
    return (
        f"<section>{whole}<div><h2>{escape(caption.text)}</h2><p>{escape(str(file))}, {sure}</p>"
        f'<div class="words">{"".join(looks)}</div></div></section>'
    )


def _mask(looked: npt.NDArray[np.floating], *, corners: bool) -> str | None:
    """A shade over a picture (R,), clear where most was looked at; None where the regions are no square grid."""
    side = math.isqrt(len(looked))
    if side * side != len(looked):
        return None
    shade = _DARKEST * (1 - looked.reshape(side, side) / max(float(looked.max()), 1e-12))
    if corners:  # half a square up and to the left
        shade = np.pad(shade.repeat(2, 0).repeat(2, 1)[1:, 1:], ((0, 1), (0, 1)), mode="edge")
    black = np.zeros((*shade.shape, 2), dtype=np.uint8)
    black[..., 1] = np.round(255 * shade)
    return _encoded(Image.fromarray(black), "PNG")


def _picture(pixels: Pixels) -> str:
    """Drawings are smaller as PNG, photographs as JPEG."""
    image = Image.fromarray(pixels)
    return min(_encoded(image, "PNG"), _encoded(image, "JPEG"), key=len)


def _encoded(image: Image.Image, kind: str) -> str:
    written = io.BytesIO()
    image.save(written, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(written.getvalue()).decode()}"
