"""Classification: spoken digits, voices never heard, animals, published sets of series, splice junctions of DNA.

Beside sound stands the nearest training clip by mean and deviation of each mel band, beside series the nearest training
series, step by step and with time warped (DTW), beside DNA the training sequence with the fewest other bases.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from animals import make_animals
from row import Measured, Row, Target, Work

from unrolled.data.audio import log_mel, read_sound
from unrolled.data.labelled_series import read_labelled_series
from unrolled.data.series_values import SeriesColumns

DIGITS, VOICES, SPLICE, SERIES = "audio/digits.csv", "audio/voices.csv", "genome/splice.csv", "series/{}_{}.ts"
SEEDS, FOLDS = 5, 10
LEAST = {"JapaneseVowels": 0.98, "BasicMotions": 0.975, "GunPoint": 0.95, "ItalyPowerDemand": 0.96, "ArrowHead": 0.80}
# Errors by class of KBANN in ten folds (Towell and Shavlik 1994).
KBANN = {"N": 0.0462, "EI": 0.0756, "IE": 0.0847}
Rows = list[dict[str, str]]
Numbers = npt.NDArray[np.floating[Any]]


def digits(work: Work) -> Measured:
    """The set's own split: takes 0 to 4 of each speaker and digit are the test."""
    rows = table(work.data / DIGITS)
    train, test = ([row for row in rows if row["split"] == part] for part in ("train", "test"))
    files = write(work, "train", train, DIGITS), write(work, "test", test, DIGITS)
    found = work.train("classify", files[0], "digits", "--label", "digit", "--test", files[1], *work.limit(300))
    known, asked = (described([work.data / "audio" / row["file"] for row in part]) for part in (train, test))
    return beside_sound(found["test"], known, [row["digit"] for row in train], asked, [row["digit"] for row in test])


def voices(label: str, seconds: float) -> Callable[[Work], Measured]:
    """What a column says of a clip, each speaker left out in turn; accuracy over all clips.

    None of the other nine is held out for validation: each of them counts.
    """

    def measure(work: Work) -> Measured:
        rows = table(work.data / VOICES)
        features = described([work.data / "audio" / row["file"] for row in rows])
        names, speakers = (np.array([row[column] for row in rows]) for column in (label, "speaker"))
        each: dict[str, Measured] = {}
        for speaker in sorted(set(speakers))[: 1 if work.quick else None]:
            out = speakers == speaker
            parts = [[row for row, held in zip(rows, out == test, strict=True) if held] for test in (False, True)]
            files = [write(work, f"{speaker}-{place}", part, VOICES) for place, part in enumerate(parts)]
            options = ("--label", label, "--group", "speaker", "--validation", 0, "--test", files[1])
            found = work.train("classify", files[0], f"{label}-{speaker}", *options, *work.limit(seconds))
            each[speaker] = beside_sound(found["test"], features[~out], names[~out], features[out], names[out])
        weights = [int((speakers == speaker).sum()) for speaker in each]
        values, baselines = (
            {
                name: float(np.average([getattr(one, kind)[name] for one in each.values()], weights=weights))
                for name in keys
            }
            for kind, keys in (("values", ("accuracy",)), ("baselines", ("commonest", "nearest clip")))
        )
        values["worst speaker"] = min(one.values["accuracy"] for one in each.values())
        return Measured(values, baselines)

    return measure


def animals(work: Work) -> Measured:
    """A folder a class; each clip has a pitch, speed and distance of its own, and the test's may have more noise."""
    counts, noises = ((3, 2) if work.quick else (40, 20)), (0.05, 0.1)
    train, test = (
        make_animals(work.folder / part, count, seed=seed, noise=noise)
        for seed, (part, count, noise) in enumerate(zip(("train", "test"), counts, noises, strict=True))
    )
    found = work.train("classify", train, "animals", "--test", test, *work.limit(240))
    known, asked = (sorted(folder.rglob("*.wav")) for folder in (train, test))
    names, truth = ([file.parent.name for file in files] for files in (known, asked))
    return beside_sound(found["test"], described(known), names, described(asked), truth)


def beside_sound(
    test: Mapping[str, float], known: Numbers, names: Sequence[str], asked: Numbers, truth: Sequence[str]
) -> Measured:
    """The accuracy on a test part, beside what its descriptions (M, F) say by those of the training part (N, F)."""
    usual = Counter(names).most_common(1)[0][0]
    share = sum(name == usual for name in truth) / len(truth)
    return Measured(
        {"accuracy": test["accuracy"]}, {"commonest": share, "nearest clip": nearest(known, names, asked, truth)}
    )


def series(name: str) -> Callable[[Work], Measured]:
    """Mean of the seeds on the set's own test part."""

    def measure(work: Work) -> Measured:
        train, test = (work.data / SERIES.format(name, part) for part in ("TRAIN", "TEST"))
        found = [
            work.train("classify", train, f"{name}-{seed}", "--test", test, "--seed", seed, *work.limit(60))
            for seed in range(1 if work.quick else SEEDS)
        ]
        reached = [one["test"]["accuracy"] for one in found]
        values = {"accuracy": float(np.mean(reached)), "worst seed": min(reached)}
        return Measured(values, neighbours(train, test))

    return measure


def splice(work: Work) -> Measured:
    """Ten folds; a sequence that is in the set twice is in one fold, so that none is in training and in the test."""
    rows = table(work.data / SPLICE)
    texts = sorted({row["sequence"] for row in rows})
    fold = dict(zip(texts, np.random.default_rng(0).permutation(len(texts)) % FOLDS, strict=True))
    wrong, count, near = Counter[str](), Counter[str](), 0
    for number in range(1 if work.quick else FOLDS):
        train, test = ([row for row in rows if (fold[row["sequence"]] == number) == held] for held in (False, True))
        files = [write(work, f"{name}-{number}", part) for name, part in (("train", train), ("test", test))]
        found = work.train("classify", files[0], f"splice-{number}", *work.limit(60))
        metrics = work.run("evaluate", found["run"], files[1])["metrics"]
        for place, (name, line) in enumerate(zip(metrics["classes"], metrics["confusion_matrix"], strict=True)):
            count[name] += sum(line)
            wrong[name] += sum(line) - line[place]
        near += sum(row["label"] != name for row, name in zip(test, nearest_labels(train, test), strict=True))
    values = {"error": wrong.total() / count.total()}
    values |= {f"{name} wrong": wrong[name] / max(1, count[name]) for name in sorted(count)}
    beside = {"commonest": 1 - max(count.values()) / count.total(), "nearest sequence": near / count.total()}
    return Measured(values, beside | {f"{name} wrong (KBANN)": share for name, share in KBANN.items()})


def table(path: Path) -> Rows:
    """The rows of a CSV table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(work: Work, name: str, rows: Rows, manifest: str | None = None) -> Path:
    """Some rows as a table of their own; of a manifest, the files as they are named from there."""
    path = work.folder / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            own = {} if manifest is None else {"file": str((work.data / manifest).parent / row["file"])}
            writer.writerow(row | own)
    return path


def described(files: Sequence[Path]) -> Numbers:
    """Mean and deviation of each mel band of each clip (N, 128)."""
    bands = [log_mel(*read_sound(file)) for file in files]
    return np.array([np.concatenate((rows.mean(0), rows.std(0))) for rows in bands])


def nearest(known: Numbers, names: Sequence[str], asked: Numbers, truth: Sequence[str]) -> float:
    """Share of `asked` (M, F) whose nearest of `known` (N, F), in deviations of each feature, has its name."""
    scale = known.std(0) + 1e-9
    distances = (((asked[:, None] - known) / scale) ** 2).sum(2)
    found = np.array(names)[distances.argmin(1)]
    return float((found == np.array(truth)).mean())


def nearest_labels(train: Rows, test: Rows) -> list[str]:
    """For each row the label of the training row with the fewest other bases at their places."""
    known, asked = (np.array([list(row["sequence"]) for row in part]) for part in (train, test))
    return [train[int((known != one).sum(1).argmin())]["label"] for one in asked]


def neighbours(train: Path, test: Path) -> dict[str, float]:
    """Accuracy of the nearest training series, step by step (brought to one length by lines) and with time warped."""
    known, asked = (read_labelled_series(path, SeriesColumns()) for path in (train, test))
    steps = max(map(len, known.sequences))
    straight = [[stretched(one, steps) for one in part.sequences] for part in (known, asked)]
    names, truth = np.array(known.labels), np.array(asked.labels)
    by_step = [int(((np.array(straight[0]) - one) ** 2).sum((1, 2)).argmin()) for one in straight[1]]
    warped = [int(warped_distances(one, known.sequences).argmin()) for one in asked.sequences]
    return {
        "nearest neighbour": float((names[by_step] == truth).mean()),
        "nearest neighbour (warped)": float((names[warped] == truth).mean()),
    }


def stretched(sequence: Numbers, steps: int) -> Numbers:
    """A sequence (T, F) as so many steps."""
    places = np.linspace(0, len(sequence) - 1, steps)
    return np.stack([np.interp(places, np.arange(len(sequence)), column) for column in sequence.T], 1)


def warped_distances(one: Numbers, others: Sequence[Numbers]) -> Numbers:
    """d(i, j) = |x_i - y_j|^2 + min(d(i - 1, j), d(i, j - 1), d(i - 1, j - 1)) at the last steps of each pair (N,)."""
    lengths = np.array([len(other) for other in others])
    padded = np.zeros((len(others), lengths.max(), one.shape[1]))
    for place, other in enumerate(others):
        padded[place, : len(other)] = other
    before = np.full((len(others), lengths.max() + 1), np.inf)
    before[:, 0] = 0
    for x in one:
        now = np.full_like(before, np.inf)
        costs = ((padded - x) ** 2).sum(2)
        cheapest = np.minimum(before[:, 1:], before[:, :-1])
        for j in range(costs.shape[1]):
            now[:, j + 1] = costs[:, j] + np.minimum(cheapest[:, j], now[:, j])
        before = now
    found: Numbers = before[np.arange(len(others)), lengths]
    return found


def make_sounds(folder: Path) -> None:
    """Two tones by three speakers, under the names of digits, sexes and emotions."""
    import soundfile  # type: ignore[import-untyped]

    rng = np.random.default_rng(0)
    (folder / "audio").mkdir()
    rows = []
    for speaker in ("ann", "bob", "eve"):
        for number in range(16):
            tone = np.sin(2 * np.pi * 500 * (1 + number % 2) * np.arange(2000) / 8000) + 0.1 * rng.normal(size=2000)
            soundfile.write(folder / "audio" / f"{speaker}{number}.wav", 0.1 * tone, 8000)
            part = "test" if number < 4 else "train"
            rows.append((f"{speaker}{number}.wav", number % 2, number % 2, number % 2, speaker, part))
    for name in (DIGITS, VOICES):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file", "digit", "sex", "emotion", "speaker", "split"), *rows])


def make_series(name: str) -> Callable[[Path], None]:
    """Up or down, under the name of a set."""

    def make(folder: Path) -> None:
        (folder / "series").mkdir(exist_ok=True)
        for seed, part in enumerate(("TRAIN", "TEST")):
            rng, lines = np.random.default_rng(seed), ["@problemName made", "@classLabel true 0 1", "@data"]
            for number in range(8):
                values = (1 - 2 * (number % 2)) * np.arange(12) + rng.normal(size=12)
                lines.append(",".join(map(str, values)) + f":{number % 2}")
            (folder / SERIES.format(name, part)).write_text("\n".join(lines) + "\n", encoding="utf-8")

    return make


def make_splice(folder: Path) -> None:
    """Sequences with one of two words in the middle."""
    rng = np.random.default_rng(0)
    (folder / "genome").mkdir()
    words, lines = {"EI": "GTAAG", "IE": "TTCAG"}, ["sequence,label"]
    for label in ("EI", "IE") * 30:
        left, right = ("".join(rng.choice(list("ACGT"), size=8)) for _ in range(2))
        lines.append(f"{left}{words[label]}{right},{label}")
    (folder / SPLICE).write_text("\n".join(lines) + "\n", encoding="utf-8")


WHY = {
    "sex": "five women and five men are all there are, each clip lasts two seconds, and in anger or fear men speak as "
    "high as women do. With eight of the speakers, seven to learn from, the network reaches 89 % and a support vector "
    "machine on cepstra and pitch 90 %, both with most errors at one man.",
    "ItalyPowerDemand": "67 series of 24 steps are all there is to learn from. What is missing is 3 of 1,029 test "
    "series, and five seeds lie further apart; in cross-validation on those 67, two are wrong.",
}

ROWS = (
    Row("digits spoken", DIGITS, (Target("accuracy", 0.98),), digits, make_sounds),
    Row(
        "sex of a speaker never heard",
        VOICES,
        (Target("accuracy", 0.97),),
        voices("sex", 120),
        make_sounds,
        why=WHY["sex"],
    ),
    Row("emotion of a speaker never heard", VOICES, (Target("accuracy", 0.60),), voices("emotion", 150), make_sounds),
    Row("animal sounds", None, (Target("accuracy", 0.95),), animals),
    *(
        Row(
            f"series {name}",
            SERIES.format(name, "TRAIN"),
            (Target("accuracy", least),),
            series(name),
            make_series(name),
            why=WHY.get(name, ""),
        )
        for name, least in LEAST.items()
    ),
    Row("splice junctions, 10-fold", SPLICE, (Target("error", 0.04, most=True),), splice, make_splice),
)
