"""Tagging: parts of speech, whether a room is occupied, the phase of a gesture at every frame.

Beside words stands each word's commonest label in training, that of the words seen once for a word never seen; beside
the room the best threshold on one column; beside gestures the commonest phase and that of the nearest training frame.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from row import Measured, Row, Target, Work

WORDS, ROOM, GESTURES = "tag/ewt-{}.conll", "tag/occupancy-{}.csv", "tag/gestures"
SENSORS = ("Temperature", "Humidity", "Light", "CO2", "HumidityRatio")
ABOVE = "points above the commonest phase"
Tokens = list[tuple[str, str]]
Numbers = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]


def words(work: Work) -> Measured:
    """The set's own parts; accuracy over the tokens of the test part."""
    train, dev, test = (work.data / WORDS.format(part) for part in ("train", "dev", "test"))
    found = work.train("tag", train, "words", "--valid", dev, "--test", test, *work.limit(780))
    beside = {"each word's commonest": commonest_of_word(tokens(train), tokens(test)), "with word vectors": 0.95}
    return Measured({"accuracy": found["test"]["accuracy"]}, beside)


def tokens(path: Path) -> Tokens:
    """Word and label of each line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(line.split("\t")[0], line.split("\t")[1]) for line in lines if line]


def commonest_of_word(train: Tokens, test: Tokens) -> float:
    """Accuracy of the label that each word has most often."""
    known: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, label in train:
        known[word][label] += 1
    rare = Counter(label for labels in known.values() if labels.total() == 1 for label in labels)
    other = (rare or Counter(label for _, label in train)).most_common(1)[0][0]
    best = {word: labels.most_common(1)[0][0] for word, labels in known.items()}
    return sum(best.get(word, other) == label for word, label in test) / len(test)


def room(work: Work) -> Measured:
    """All sensors, a reading each minute: eight days to train on, another seven for the test."""
    return occupied(work, SENSORS)


def dark_room(work: Work) -> Measured:
    """Without the light, which says nearly everything."""
    return occupied(work, tuple(name for name in SENSORS if name != "Light"))


def occupied(work: Work, columns: Sequence[str]) -> Measured:
    """Accuracy over the readings of the test part, of these columns and the time of day."""
    train, dev, test = (work.data / ROOM.format(part) for part in ("train", "dev", "test"))
    chosen = () if len(columns) == len(SENSORS) else ("--features", *columns, "--clock", "date")
    found = work.train(
        "tag", train, "room", "--label", "Occupancy", "--valid", dev, "--test", test, *chosen, *work.limit(90)
    )
    before, after = readings(train, columns), readings(test, columns)
    name, at, sign = threshold(*before, columns)
    right = (sign * (after[0][:, columns.index(name)] - at) > 0) == (after[1] == "1")
    usual = Counter(before[1].tolist()).most_common(1)[0][0]
    return Measured(
        {"accuracy": found["test"]["accuracy"]},
        {"commonest": float((after[1] == usual).mean()), f"threshold on {name}": float(right.mean())},
    )


def readings(path: Path, columns: Sequence[str]) -> tuple[Numbers, Names]:
    """The sensors (N, F), and whether the room is occupied (N,)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[name]) for name in columns] for row in rows]), np.array([r["Occupancy"] for r in rows])


def threshold(values: Numbers, names: Names, columns: Sequence[str]) -> tuple[str, float, int]:
    """The column, the value and the side that tell most training rows apart."""
    found = []
    for place, column in enumerate(columns):
        for at in np.unique(values[:, place]):
            above = float(((values[:, place] > at) == (names == "1")).mean())
            found += [(above, column, float(at), 1), (1 - above, column, float(at), -1)]
    return max(found)[1:]


def gestures(work: Work) -> Measured:
    """Each video is left out of training in turn; accuracy over all frames."""
    files = sorted((work.data / GESTURES).glob("*.csv"))
    right = usual = near = frames = 0.0
    for out in files[: 1 if work.quick else None]:
        first, *others = [file for file in files if file != out]
        columns = ("--label", "phase", "--sequence", "video")
        options = ("--also", *others, "--test", out, *columns, *work.limit(60))
        found = work.train("tag", first, f"without-{out.stem}", *options)
        known = [moments(file) for file in (first, *others)]
        asked, truth = moments(out)
        phases = np.concatenate([names for _, names in known])
        right += found["test"]["accuracy"] * len(truth)
        usual += float((truth == Counter(phases.tolist()).most_common(1)[0][0]).sum())
        near += float((truth == nearest(np.concatenate([values for values, _ in known]), phases, asked)).sum())
        frames += len(truth)
    return Measured(
        {"accuracy": right / frames, ABOVE: 100 * (right - usual) / frames},
        {"commonest phase": usual / frames, "nearest frame": near / frames},
    )


def moments(path: Path) -> tuple[Numbers, Names]:
    """Positions at each frame (T, F), each brought to mean 0 and deviation 1 in its video, and the phases (T,)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name not in ("video", "timestamp", "phase")]
    values = np.array([[float(row[name]) for name in columns] for row in rows])
    return (values - values.mean(0)) / values.std(0), np.array([row["phase"] for row in rows])


def nearest(known: Numbers, names: Names, asked: Numbers) -> Names:
    """The name of the known frame nearest to each that is asked for."""
    squares = (known**2).sum(1)
    found = [(squares - 2 * some @ known.T).argmin(1) for some in np.array_split(asked, max(1, len(asked) // 256))]
    answers: Names = names[np.concatenate(found)]
    return answers


def make_words(folder: Path) -> None:
    """Sentences of three words and a stop."""
    rng = np.random.default_rng(0)
    sets = {"DET": ("the", "a"), "NOUN": ("dog", "cat", "house"), "VERB": ("sees", "runs"), "PUNCT": (".",)}
    (folder / "tag").mkdir()
    for part in ("train", "dev", "test"):
        lines = [[f"{rng.choice(choice)}\t{label}" for label, choice in sets.items()] for _ in range(16)]
        text = "\n\n".join("\n".join(sentence) for sentence in lines)
        (folder / WORDS.format(part)).write_text(text + "\n", encoding="utf-8")


def make_room(folder: Path) -> None:
    """Four days and nights, two readings an hour; light and gas where somebody is in."""
    rng = np.random.default_rng(0)
    (folder / "tag").mkdir()
    for part in ("train", "dev", "test"):
        rows = [["sno", "date", *SENSORS, "Occupancy"]]
        for number in range(192):
            hour = number // 2 % 24
            inside = int(8 <= hour < 18 and rng.random() < 0.9)
            values = rng.normal([21, 26, 400 * inside, 500 + 300 * inside, 0.004], [1, 2, 40, 80, 0.0003])
            date = f"2015-02-{2 + number // 48:02} {hour:02}:{30 * (number % 2):02}:00"
            rows.append([str(number + 1), date, *(f"{value:.5f}" for value in values), str(inside)])
        write_table(folder / ROOM.format(part), rows)


def make_gestures(folder: Path) -> None:
    """Two videos of a hand that rests, rises and falls."""
    rng = np.random.default_rng(0)
    (folder / GESTURES).mkdir(parents=True)
    for video in ("a1", "b1"):
        rows, height = [["video", "lhx", "lhy", "timestamp", "phase"]], 0.0
        for number in range(80):
            phase = ("Rest", "Stroke", "Hold", "Retraction")[number // 10 % 4]
            height += {"Stroke": 1.0, "Retraction": -1.0}.get(phase, 0.0)
            place = rng.normal([0, height], 0.1)
            rows.append([video, f"{place[0]:.3f}", f"{place[1]:.3f}", str(1000 + 33 * number), phase])
        write_table(folder / GESTURES / f"{video}.csv", rows)


def write_table(path: Path, rows: list[list[str]]) -> None:
    """A .csv of these rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


WHY_ROOM = (
    "light alone decides, and a threshold on it is right in 97.9 % of the validation part and 99.3 % of the test. The "
    "network reads all columns of six days of training, on which warm air and the hour of a weekday went with people. "
    "Nearly all its errors are hours of two days of the test on which daylight came into a room that people had just "
    "left. The validation part has no such day: eight other settings (without the time of day, causal, smaller, levels "
    "shifted less or more, columns left out) reach 97.1 to 98.0 % there, which tells none of them apart."
)

ROWS = (
    Row("parts of speech", WORDS.format("train"), (Target("accuracy", 0.935),), words, make_words),
    Row("occupied room", ROOM.format("train"), (Target("accuracy", 0.99),), room, make_room, why=WHY_ROOM),
    Row("occupied room, light unseen", ROOM.format("train"), (Target("accuracy", 0.90),), dark_room, make_room),
    Row("gestures of a video never seen", GESTURES, (Target(ABOVE, 15),), gestures, make_gestures),
)
