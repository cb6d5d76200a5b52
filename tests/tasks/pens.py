"""Made handwriting that a small network learns in a second: a letter is a stroke of five points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SHAPES = {
    "a": ((0, 0), (0.5, 1.5), (1, 3), (1.5, 1.5), (2, 0)),
    "b": ((0, 0), (0.5, -1.5), (1, -3), (1.5, -1.5), (2, 0)),
    "c": ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2)),
}
SMALL: dict[str, Any] = {"hidden": 16, "layers": 1, "dropout": 0.0, "learning_rate": 0.03, "batch_size": 16, "ema": 0.0}


def written(text: str, rng: np.random.Generator) -> list[list[list[float]]]:
    """The strokes of a text; a space is a gap."""
    strokes = []
    for place, letter in enumerate(text):
        if letter in SHAPES:
            points = np.array(SHAPES[letter]) + (3 * place, 0) + 0.1 * rng.normal(size=(5, 2))
            strokes.append(points.round(3).tolist())
    return strokes


def texts(rng: np.random.Generator, count: int) -> list[str]:
    """Two words of one to three letters, or one."""
    words = ["".join(rng.choice(list(SHAPES), size=rng.integers(1, 4))) for _ in range(2 * count)]
    return [words[k] if rng.random() < 0.3 else f"{words[k]} {words[-1 - k]}" for k in range(count)]


def write_pens(path: Path, count: int, seed: int = 0) -> Path:
    """A table of so many samples."""
    rng = np.random.default_rng(seed)
    rows = [{"strokes": written(text, rng), "text": text} for text in texts(rng, count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
