"""Drawn pictures: two things, their size, colour and shape, and how they lie, in a sentence that must be exactly right.

Twenty-four kinds of thing (six colours, four shapes) in two sizes each. Six kinds, such as the red star, are in no
training picture, though red things and stars are; every test picture shows one of them, so each test caption is a
combination never seen, down to a colour with a shape. A second test has known kinds in sentences never seen. Training
hides seven words in ten of what was said before, so that a shape is not guessed by its colour; that share was chosen
with six other kinds unseen. Beside it: the share that the commonest training caption gets right, and that of naming
everything but guessing one colour.
"""

from __future__ import annotations

import csv
import math
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from row import Measured, Row, Target, Work

COLOURS = {
    "red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 210), "yellow": (230, 200, 40),
    "purple": (140, 60, 170), "orange": (240, 130, 30),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star")
SIZES = {"small": (5.0, 7.0), "large": (10.0, 13.0)}
UNSEEN = frozenset(
    [("red", "star"), ("green", "circle"), ("blue", "triangle"), ("yellow", "square"), ("purple", "circle"),
     ("orange", "triangle")]
)  # fmt: skip
SIDE, FINE = 64, 3
COUNTS = {"train": 6000, "valid": 300, "known": 500, "unseen": 500}
HIDDEN = 0.7
CURVE = "captions.png"
SECONDS = 600


class Thing(NamedTuple):
    """What is drawn once: in words its size, colour and shape."""

    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.shape}"


def caption(work: Work) -> Measured:
    """Train on the drawn pictures with the defaults; exact captions of both tests."""
    folder = work.folder / "pictures"
    folder.mkdir()
    share = 0.01 if work.quick else 1.0
    tables = draw_all(folder, {name: max(12, round(count * share)) for name, count in COUNTS.items()})
    small = ("--hidden", 8, "--embedding", 8, "--size", 16, "--channels", 8) if work.quick else ()
    parts = ("--valid", tables["valid"], "--test", tables["unseen"])
    options = (*parts, "--word-dropout", HIDDEN, *small, *work.limit(SECONDS))
    found = work.train("caption", tables["train"], "captions", *options)
    known = work.run("evaluate", found["run"], tables["known"])["metrics"]
    values = {
        "exact": found["test"]["exact_match"],
        "BLEU-4": found["test"]["bleu_4"],
        "exact, known kinds": known["exact_match"],
    }
    baselines = {"commonest caption": commonest(tables), "one colour guessed": 1 / len(COLOURS)}
    shutil.copy(Path(found["run"], "curve.png"), work.pictures / CURVE)
    return Measured(values, baselines, (CURVE,))


def commonest(tables: dict[str, Path]) -> float:
    """The share of test pictures whose caption is the one that training pictures have most often."""
    texts = {name: [row["caption"] for row in _rows(path)] for name, path in tables.items()}
    answer = Counter(texts["train"]).most_common(1)[0][0]
    return texts["unseen"].count(answer) / len(texts["unseen"])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw_all(folder: Path, counts: dict[str, int], seed: int = 7) -> dict[str, Path]:
    """The pictures of each part and its table; no caption of one part is in another."""
    rng = random.Random(seed)
    taken: dict[str, str] = {}
    tables = {}
    for part, count in counts.items():
        rows: list[tuple[str, str]] = []
        while len(rows) < count:
            first, second = thing(rng), thing(rng)
            above = rng.random() < 0.5
            text = f"{first} {'above' if above else 'left of'} {second}"
            unseen = any((one.colour, one.shape) in UNSEEN for one in (first, second))
            if unseen == (part == "unseen") and taken.setdefault(text, part) == part:
                name = f"{part}-{len(rows)}.png"
                draw(rng, (first, second), above=above).save(folder / name)
                rows.append((name, text))
        tables[part] = folder / f"{part}.csv"
        with tables[part].open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("image", "caption"), *rows])
    return tables


def thing(rng: random.Random) -> Thing:
    """One of 48."""
    return Thing(rng.choice(list(SIZES)), rng.choice(list(COLOURS)), rng.choice(SHAPES))


def draw(rng: random.Random, things: tuple[Thing, Thing], *, above: bool) -> Image.Image:
    """The first thing above or left of the second on a light ground, with noise; colours vary a little."""
    ground = tuple(rng.randrange(200, 256) for _ in range(3))
    image = Image.new("RGB", (SIDE * FINE, SIDE * FINE), ground)
    pen = ImageDraw.Draw(image)
    radii = [rng.uniform(*SIZES[one.size]) for one in things]
    for one, radius, (x, y) in zip(things, radii, _places(rng, radii, above=above), strict=True):
        colour = tuple(max(0, min(255, value + rng.randint(-25, 25))) for value in COLOURS[one.colour])
        outline = [(x * FINE, y * FINE) for x, y in _outline(one.shape, x, y, radius)]
        if one.shape == "circle":
            pen.ellipse([*outline[0], *outline[1]], fill=colour)
        else:
            pen.polygon(outline, fill=colour)
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 6, (SIDE, SIDE, 3))
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _places(rng: random.Random, radii: list[float], *, above: bool) -> list[tuple[float, float]]:
    """Middles of two things that do not touch, one clearly above or left of the other."""
    while True:
        (x, y), (u, v) = ((rng.uniform(r + 1, SIDE - r - 1), rng.uniform(r + 1, SIDE - r - 1)) for r in radii)
        along, across = (v - y, abs(u - x)) if above else (u - x, abs(v - y))
        if along > sum(radii) + 1 and along > 1.5 * across:
            return [(x, y), (u, v)]


def _outline(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    """Corners; of a circle those of its box."""
    if shape == "circle":
        return [(x - r, y - r), (x + r, y + r)]
    if shape == "square":
        s = 0.85 * r
        return [(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)]
    if shape == "triangle":
        return [(x, y - r), (x + 0.95 * r, y + 0.8 * r), (x - 0.95 * r, y + 0.8 * r)]
    ends = [(r if k % 2 == 0 else 0.45 * r, k * math.pi / 5) for k in range(10)]
    return [(x + length * math.sin(angle), y - length * math.cos(angle)) for length, angle in ends]


ROWS = (
    Row(
        "drawn pictures",
        None,
        (Target("exact", 0.95),),
        caption,
        command=(
            "unrolled train caption train.csv --valid valid.csv --test unseen.csv "
            f"--word-dropout {HIDDEN} --max-time {SECONDS}s"
        ),
    ),
)
