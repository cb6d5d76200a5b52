"""Options of the caption task."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unrolled.tasks.options.shared import NetworkOptions, TextOptions, option


@dataclass(kw_only=True)
class CaptionOptions(TextOptions, NetworkOptions):
    """Options of `unrolled train caption`."""

    image: str = option("image", "column that names the picture's file")
    caption: str = option("caption", "column that holds a caption, or a list of them")
    images: Path | None = option(None, "folder of the pictures; default: the folder of the table")
    features: Path | None = option(None, "regions of the pictures computed beforehand (.npz), read instead of pixels")
    encoder: str = option("own", "what reads the pictures: own, or a network of torchvision such as resnet18")
    size: int | None = option(None, "pixels that the longer side is scaled to; default: 64, for torchvision 224")
    channels: tuple[int, ...] = option((32, 64, 128), "channels of each stage of the encoder, which halves the sides")
    blocks: int = option(0, "residual convolutions in each stage of the encoder")
    attention: str = option(
        "multiplicative", "how a word chooses where to look", choices=("additive", "multiplicative")
    )
    word_dropout: float = option(
        0.0, "share of the words read as unknown while training, so that the picture says more than the words before"
    )
    beam: int = option(3, "captions followed at a time when one is written")
    lowercase: bool | None = option(None, "read capital letters as small ones; default: where captions are words")
    cell: str = option("gru", "a cell's name (see `unrolled cells`) or file.py:Name for one of your own")
    dropout: float = option(0.1, "share dropped from the regions, the words and the output")
    learning_rate: float = option(1.5e-3, "highest learning rate")
