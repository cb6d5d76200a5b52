"""Transcription of unsegmented input: digit strings that were spoken, and numbers written with a pen."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from row import Measured, Row, Target, Work

from unrolled.train.edits import character_error_rate, word_error_rate

SPOKEN, WRITTEN = "audio/digits.csv", "handwriting/numbers-{}.jsonl"
RATE = 8000
# Takes 0 to 4 of each speaker and digit are the set's own test part; the last of the others are held out.
HELD_OUT = range(45, 50)
POINTS_A_DIGIT = 8
Clip = tuple[str, npt.NDArray[np.float32]]


def speech(work: Work) -> Measured:
    """Strings of 3 to 7 digits of one speaker with short pauses; test strings are made of test clips alone."""
    clips = spoken(work.data)
    rng = np.random.default_rng(0)
    rounds = {"train": 1, "valid": 1, "test": 1} if work.quick else {"train": 6, "valid": 2, "test": 4}
    files = {part: strings(work.folder, part, clips[part], rounds[part], rng) for part in rounds}
    found = work.train(
        "transcribe", files["train"], "spoken", "--valid", files["valid"], "--test", files["test"], *work.limit(720)
    )
    truths = texts(files["test"])
    return Measured(
        {"word_error_rate": found["test"]["word_error_rate"]},
        {"the commonest digit, told how many": word_error_rate(truths, commonest(truths, " "))},
    )


def pen(work: Work) -> Measured:
    """Runs of 2 to 8 digits, not told where one ends; the nearest neighbour beside it is told."""
    files = {part: work.data / WRITTEN.format(part) for part in ("train", "dev", "test")}
    found = work.train(
        "transcribe", files["train"], "written", "--valid", files["dev"], "--test", files["test"], *work.limit(600)
    )
    truths = texts(files["test"])
    return Measured(
        {"character_error_rate": found["test"]["character_error_rate"]},
        {
            "the commonest digit, told how many": character_error_rate(truths, commonest(truths, "")),
            "nearest neighbour, told where each digit is": neighbour_error(files["train"], files["test"]),
        },
    )


def spoken(data: Path) -> dict[str, dict[str, list[Clip]]]:
    """The clips of each part by speaker."""
    import soundfile  # type: ignore[import-untyped]

    parts: dict[str, dict[str, list[Clip]]] = {name: defaultdict(list) for name in ("train", "valid", "test")}
    with (data / SPOKEN).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            take = int(Path(row["file"]).stem.rsplit("_", 1)[1])
            part = "test" if row["split"] == "test" else "valid" if take in HELD_OUT else "train"
            samples, rate = soundfile.read(data / "audio" / row["file"], dtype="float32")
            if rate != RATE:
                raise SystemExit(f"{row['file']} has {rate} Hz, and {RATE} are expected")
            parts[part][row["speaker"]].append((row["digit"], samples))
    return parts


def strings(folder: Path, part: str, clips: Mapping[str, list[Clip]], rounds: int, rng: np.random.Generator) -> Path:
    """A manifest of joined clips in which every clip occurs once in each of so many rounds."""
    import soundfile

    (folder / part).mkdir()
    rows = ["file,text"]
    for speaker, own in sorted(clips.items()):
        order = [own[i] for _ in range(rounds) for i in rng.permutation(len(own))]
        while order:
            count = int(rng.integers(3, 8))
            some, order = order[:count], order[count:]
            pieces = [piece for _, samples in some for piece in (pause(rng), samples)]
            name = f"{part}/{speaker}-{len(rows)}.wav"
            soundfile.write(folder / name, np.concatenate([*pieces, pause(rng)]), RATE, subtype="PCM_16")
            rows.append(f"{name},{' '.join(digit for digit, _ in some)}")
    path = folder / f"{part}.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def pause(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Up to a tenth of a second of quiet noise."""
    return (1e-4 * rng.normal(size=int(rng.integers(1, RATE // 10)))).astype(np.float32)


def texts(file: Path) -> list[str]:
    """The texts of a manifest or of lines of JSON."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows: Iterable[Mapping[str, Any]] = map(json.loads, lines) if file.suffix == ".jsonl" else csv.DictReader(lines)
        return [row["text"] for row in rows]


def commonest(truths: Sequence[str], between: str) -> list[str]:
    """As many of the commonest digit as each truth has digits."""
    digits = [[digit for digit in truth if digit != " "] for truth in truths]
    best = Counter(digit for row in digits for digit in row).most_common(1)[0][0]
    return [between.join([best] * len(row)) for row in digits]


def neighbour_error(train: Path, test: Path) -> float:
    """Share of digits that the nearest training digit, place and size apart, gets wrong."""
    known, names = digits_of(train)
    asked, truth = digits_of(test)
    wrong = 0
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        distance = (known**2).sum(1) - 2 * some @ known.T
        wrong += int((names[distance.argmin(1)] != truth[start : start + 500]).sum())
    return wrong / len(truth)


def digits_of(file: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_]]:
    """Points (N, 16) of every digit from its own corner, and the digits (N,)."""
    points, names = [], []
    with file.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            run = np.array(row["points"], np.float32).reshape(len(row["text"]), POINTS_A_DIGIT, 2)
            points.append((run - run.min(1, keepdims=True)).reshape(len(run), -1))
            names += row["text"]
    return np.concatenate(points), np.array(names)


def make_sounds(folder: Path) -> None:
    """Four takes of two digits by two speakers, of which take 0 is for the test."""
    import soundfile

    rng = np.random.default_rng(0)
    (folder / "audio" / "digits").mkdir(parents=True)
    rows = ["file,digit,speaker,split"]
    for speaker in ("ann", "bob"):
        for digit in range(2):
            for take in (0, 1, 2, 3, HELD_OUT[0], HELD_OUT[1]):
                time = np.arange(RATE // 5) / RATE
                tone = 0.1 * np.sin(2 * np.pi * 500 * (digit + 1) * time) + 0.01 * rng.normal(size=len(time))
                name = f"digits/{digit}_{speaker}_{take}.flac"
                soundfile.write(folder / "audio" / name, tone, RATE)
                rows.append(f"{name},{digit},{speaker},{'train' if take else 'test'}")
    (folder / SPOKEN).write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_strokes(folder: Path) -> None:
    """Numbers of two digits, each an arc of its own angle."""
    rng = np.random.default_rng(0)
    (folder / "handwriting").mkdir(exist_ok=True)
    for part, count in (("train", 24), ("dev", 8), ("test", 8)):
        lines = []
        for _ in range(count):
            digits = rng.integers(0, 3, size=2)
            angle = (digits[:, None] + 1) * np.linspace(0, 1, POINTS_A_DIGIT)
            arcs = np.stack([np.cos(angle) + 2 * np.arange(2)[:, None], np.sin(angle)], 2).reshape(-1, 2)
            points = (100 * arcs + rng.normal(size=arcs.shape)).round(1)
            lines.append(json.dumps({"points": points.tolist(), "text": "".join(map(str, digits))}))
        (folder / WRITTEN.format(part)).write_text("\n".join(lines) + "\n", encoding="utf-8")


ROWS = (
    Row("digit strings, spoken", SPOKEN, (Target("word_error_rate", 0.03, most=True),), speech, make_sounds),
    Row(
        "numbers written with a pen",
        WRITTEN.format("train"),
        (Target("character_error_rate", 0.03, most=True),),
        pen,
        make_strokes,
    ),
)
