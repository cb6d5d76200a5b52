"""Translation: Spanish to English, everyday sentences; no test sentence, in either language, is in the training part.

Two cores have 45 minutes for the training; one core alone (`--threads 1`) has 60, two thirds of that work. Beside it:
the translation of the nearest training sentence (by shared words, the rare ones counting more), and the Spanish itself.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from row import Measured, Row, Target, Work

from unrolled.data.pairs import read_pairs
from unrolled.train.published import translation_scores

FILES = "translate/spa-eng-{}.tsv"
SECONDS = {2: 45 * 60, 1: 60 * 60}
SHOWN = "¿Por qué no me dijiste que ibas a llegar tarde?"


def spanish(work: Work) -> Measured:
    """Train with the defaults; BLEU of the test sentences whose Spanish was never seen."""
    train = work.data / FILES.format("train")
    known = set(read_pairs(train).sources)
    valid, test = (unseen(work, part, known) for part in ("dev", "test"))
    small = ("--hidden", 8, "--embedding", 8, "--vocabulary-size", 400) if work.quick else ()
    limit = work.limit(SECONDS[1 if work.options.threads == 1 else 2])
    found = work.train("translate", train, "spanish", "--valid", valid, "--test", test, *small, *limit)
    values = {"BLEU": found["test"]["bleu"], "chrF": found["test"]["chrf"], "greedy, dev": found["valid"]["bleu"]}
    pairs = read_pairs(test)
    nearest = nearest_translations(train, pairs.sources)
    baselines = {
        "nearest sentence": translation_scores(nearest, pairs.targets)["bleu"],
        "Spanish as it is": translation_scores(pairs.sources, pairs.targets)["bleu"],
    }
    return Measured(values, baselines, pictures(work, found["run"]))


def unseen(work: Work, part: str, known: set[str]) -> Path:
    """The pairs of a part whose Spanish is not in the training part, as a file of their own."""
    pairs = read_pairs(work.data / FILES.format(part))
    rows = [f"{a}\t{b}" for a, b in zip(pairs.sources, pairs.targets, strict=True) if a not in known]
    path = work.folder / f"{part}.tsv"
    path.write_text("\n".join(["spanish\tenglish", *rows]) + "\n", encoding="utf-8")
    return path


def nearest_translations(train: Path, sources: Sequence[str]) -> list[str]:
    """For each text the translation of the training text with the largest cosine of word weights log(N / n_w)."""
    pairs = read_pairs(train)
    counts = Counter(word for text in pairs.sources for word in set(words(text)))
    weight = {word: math.log(len(pairs) / count) ** 2 for word, count in counts.items()}
    places: dict[str, list[int]] = defaultdict(list)
    length = []
    for place, text in enumerate(pairs.sources):
        own = set(words(text))
        length.append(math.sqrt(sum(weight[word] for word in own)) or 1.0)
        for word in own:
            places[word].append(place)
    found = []
    for text in sources:
        shared: dict[int, float] = defaultdict(float)
        for word in set(words(text)):
            for place in places.get(word, ()):
                shared[place] += weight[word]
        best = max(shared, key=lambda place: shared[place] / length[place], default=0)
        found.append(pairs.targets[best])
    return found


def words(text: str) -> list[str]:
    """In lower case, without the marks around them."""
    return [word.strip("¿¡.,;:?!\"'«»()") for word in text.lower().split()]


def pictures(work: Work, run: str) -> tuple[str, ...]:
    """The learning curve, and where the words of one translation looked."""
    curve, look = "translate.png", "translate-attention.png"
    shutil.copy(Path(run, "curve.png"), work.pictures / curve)
    (work.pictures / look).unlink(missing_ok=True)
    work.run("translate", run, "--literal", SHOWN, "--picture", work.pictures / look)
    return curve, look


def make(folder: Path) -> None:
    """Sentences of five words in two languages that are alike."""
    (folder / "translate").mkdir()
    names = ("casa", "perro", "libro", "mesa", "gato")
    for part, first, count in (("train", 0, 60), ("dev", 60, 8), ("test", 70, 8)):
        rows = [" ".join(names[(k // 5**i) % 5] for i in range(4)) for k in range(first, first + count)]
        lines = ["spanish\tenglish", *(f"{row}.\t{row.upper()}." for row in rows)]
        (folder / FILES.format(part)).write_text("\n".join(lines) + "\n", encoding="utf-8")


ROWS = (Row("Spanish to English, unseen sentences", FILES.format("train"), (Target("BLEU", 40),), spanish, make),)
