"""Pictures with captions that tests draw themselves."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

COLOURS = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220)}


def drawing(rng: random.Random, height: int = 16, width: int = 16) -> tuple[np.ndarray, str]:
    """A coloured block on the left or the right of a noisy light ground, and what it is."""
    colour, place, side = rng.choice(sorted(COLOURS)), rng.choice(("left", "right")), rng.randint(4, 6)
    noise = np.random.default_rng(rng.randrange(2**32))
    pixels = noise.integers(200, 256, (height, width, 3)).astype(np.uint8)
    row = rng.randrange(height - side)
    column = rng.randrange(width // 2 - side) + (place == "right") * (width // 2)
    pixels[row : row + side, column : column + side] = COLOURS[colour]
    return pixels, f"A {colour} block on the {place}."


def album(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` PNG files and album.csv beside them."""
    from PIL import Image

    rng = random.Random(seed)
    lines = ["image,caption,painter"]
    for number in range(count):
        pixels, caption = drawing(rng)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{caption},{rng.randrange(8)}")
    (folder / "album.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "album.csv"
