"""Films of a disc that comes into a room, stands still, and goes on or turns back: what is happening, frame by frame.

No picture says enough. A disc in the middle of the room looks the same whether it goes right or left, and a disc that
stands still is labelled by the side from which it came, perhaps seconds before. Sizes, colours, heights, speeds and the
room change from film to film, and no film of one part is in another. Beside it: the commonest event, and the best
answer of somebody who is told exactly where the disc is, but remembers nothing.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from row import Measured, Row, Target, Work

RATE, HEIGHT, WIDTH = 10, 48, 64
# The task looks at a film five times a second.
EVERY = 2
NAMES = {0: "nobody", 1: "going right", -1: "going left", 2: "came from the left", -2: "came from the right"}
FILMS = {"train": 40, "valid": 6, "test": 12}
SECONDS, LIMIT = 60, 420


def events(work: Work) -> Measured:
    """A label for each frame of films never seen, as the frames come in."""
    counts = {part: 2 if work.quick else count for part, count in FILMS.items()}
    places = {part: draw_films(work.folder / part, count, work.quick) for part, count in counts.items()}
    small = ("--hidden", 8, "--embedding", 8, "--size", 16) if work.quick else ()
    folders = ("--valid", work.folder / "valid", "--test", work.folder / "test")
    found = work.train("tag", work.folder / "train", "events", "--causal", *folders, *small, *work.limit(LIMIT))
    usual, alone = without_memory(places["train"], places["test"])
    return Measured(
        {"accuracy": found["test"]["accuracy"]}, {"commonest event": usual, "disc's place known, no memory": alone}
    )


Seen = list[tuple[int, str]]


def draw_films(folder: Path, count: int, short: bool) -> Seen:
    """Films with a table of events beside each; the disc's place and the label of each frame that the task reads."""
    folder.mkdir()
    seen: Seen = []
    for number in range(count):
        rng = np.random.default_rng((len(folder.name), ord(folder.name[0]), number))
        story = list(islice(visits(rng), RATE * (4 if short else SECONDS)))
        write_film(folder / f"{number}.mp4", scene(rng, [place for place, _ in story]))
        names = [NAMES[kind] for _, kind in story]
        write_labels(folder / f"{number}.csv", names)
        seen += [(round(place), name) for (place, _), name in zip(story, names, strict=True)][::EVERY]
    return seen


def visits(rng: np.random.Generator) -> Iterator[tuple[float, int]]:
    """Where the disc is, -99 for nowhere, and what happens, frame by frame without end.

    One after the other comes in, stands still once, and leaves on the other side or where it came from.
    """
    while True:
        yield from [(-99.0, 0)] * int(rng.integers(RATE // 2, 3 * RATE))
        side = int(rng.choice((-1, 1)))
        speed, stop = rng.uniform(2.0, 4.5), rng.uniform(0.25, 0.75) * WIDTH
        # Seen from the left, then turned round where it comes from the right.
        place = 0.0
        far = stop if side > 0 else WIDTH - stop
        while (place := place + speed) < far:
            yield (place if side > 0 else WIDTH - place), side
        # Whoever looks at every second frame sees only at the third that it stands still.
        for waited in range(int(rng.integers(RATE, 5 * RATE))):
            yield (place if side > 0 else WIDTH - place), side if waited < EVERY else 2 * side
        back = bool(rng.random() < 0.5)
        while 0 < (place := place + (-speed if back else speed)) < WIDTH:
            yield (place if side > 0 else WIDTH - place), (-side if back else side)


def scene(rng: np.random.Generator, places: list[float]) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames (H, W, 3): a disc of one colour in front of a room of another, with a shade and noise."""
    room, disc = rng.uniform(30, 220, 3), rng.uniform(30, 220, 3)
    while np.abs(room - disc).sum() < 180:
        disc = rng.uniform(30, 220, 3)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius, height = rng.uniform(4, 8), rng.uniform(0.3, 0.7) * HEIGHT
    shade = rng.normal(0, 20, 2) @ np.stack((rows / HEIGHT - 0.5, columns / WIDTH - 0.5)).reshape(2, -1)
    wall = room + shade.reshape(HEIGHT, WIDTH, 1)
    for place in places:
        inside = (rows - height) ** 2 + (columns - place) ** 2 < radius**2
        frame = np.where(inside[:, :, None], disc, wall) + rng.normal(0, 6, wall.shape[:2])[:, :, None]
        yield frame.clip(0, 255).astype(np.uint8)


def write_film(path: Path, frames: Iterator[npt.NDArray[np.uint8]]) -> None:
    """An MPEG-4 file."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(RATE))
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = HEIGHT, WIDTH, "yuv420p", 400_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_labels(path: Path, names: list[str]) -> None:
    """Intervals in seconds, each as long as one thing happens."""
    changes = [0, *(at for at in range(1, len(names)) if names[at] != names[at - 1]), len(names)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("start", "end", "label"))
        writer.writerows((a / RATE, b / RATE, names[a]) for a, b in pairwise(changes))


def without_memory(train: Seen, test: Seen) -> tuple[float, float]:
    """Accuracy of the commonest event, and of the commonest event where the disc is now."""
    usual = Counter(name for _, name in train).most_common(1)[0][0]
    by_place: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for place, name in train:
        by_place[place][name] += 1
    best = {place: names.most_common(1)[0][0] for place, names in by_place.items()}
    return (
        sum(name == usual for _, name in test) / len(test),
        sum(name == best.get(place, usual) for place, name in test) / len(test),
    )


ROWS = (Row("events in films", None, (Target("accuracy", 0.95),), events),)
