"""Surnames, one of 18 languages: the defaults of `unrolled train classify --units char`.

Rows that are twice in the set are removed first, which leaves 18,012 pairs of name and language; a fifth, each language
in proportion, is held out as the test part, another fifth for each seed. A name that two languages share can be in both
parts, with one language in each. The task itself holds out a tenth of the rest to decide which weights are kept.
"""

from __future__ import annotations

import csv
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from reporting import Claim, Table, data_folder, parse, parser, report, train

from unrolled.data import read_table, split_rows

NAMES = Path("classify", "names.csv")
HELD_OUT = 0.2
TARGET = 0.80

Pair = tuple[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train once for each seed, on a split of its own; report mean accuracy and macro-F1."""
    begin = time.perf_counter()
    options = parse(parser("Language of surnames.", seeds=3), arguments)
    limit = ("--epochs", 2, "--hidden", 8, "--embedding", 8) if options.quick else ()
    columns = ("--text", "name", "--label", "language", "--units", "char")
    rows = []
    with data_folder(options.quick, make) as data, tempfile.TemporaryDirectory() as runs:
        names = pairs(data / NAMES)
        for seed in range(options.seeds):
            folder = Path(runs, str(seed))
            files = split(names, seed, folder)
            parts = ("--test", files[1], "--seed", seed, "--out", folder / "run")
            rows.append(train("classify", files[0], options, *columns, *parts, *limit))
    accuracy = mean(row["test"]["accuracy"] for row in rows)
    f1 = mean(row["test"]["macro_f1"] for row in rows)
    claims = [Claim(f"mean accuracy of {options.seeds} seeds (macro-F1 {f1:.4f})", accuracy, TARGET)]
    heads = ("seed", "accuracy", "macro-F1", "steps", "seconds", "whole command")
    table = Table(heads, tuple(cells(seed, row) for seed, row in enumerate(rows)))
    return report("surnames", options, claims, table=table, begin=begin, remarks=f"{__doc__} {len(names):,} pairs.")


def cells(seed: int, row: dict[str, Any]) -> tuple[float | int, ...]:
    """A line of the table."""
    test = row["test"]
    numbers = (test["accuracy"], test["macro_f1"], row["steps"], row["seconds"], row["wall"])
    return (seed, *(round(number, 4) for number in numbers))


def pairs(path: Path) -> list[Pair]:
    """Each pair of name and language once, in the order of the file."""
    table = read_table(path)
    return list(dict.fromkeys(zip(table.column("name"), table.column("language"), strict=True)))


def split(names: Sequence[Pair], seed: int, folder: Path) -> tuple[Path, Path]:
    """Write train.csv and test.csv."""
    folder.mkdir()
    parts = split_rows(len(names), HELD_OUT, seed, labels=[language for _, language in names])
    files = folder / "train.csv", folder / "test.csv"
    for path, part in zip(files, parts, strict=True):
        write(path, (names[row] for row in part))
    return files


def write(path: Path, rows: Iterable[Pair]) -> None:
    """A table of names and languages."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name", "language"), *rows])


def make(folder: Path) -> None:
    """Made names whose vowels tell their language, some of them twice."""
    chance = random.Random(0)
    vowels = {"North": "yi", "South": "ao", "West": "eu"}
    rows = []
    for _ in range(150):
        language = chance.choice(list(vowels))
        syllables = (chance.choice("klmnrst") + chance.choice(vowels[language]) for _ in range(chance.randrange(2, 5)))
        rows.append(("".join(syllables).title(), language))
    path = folder / NAMES
    path.parent.mkdir(parents=True)
    write(path, [*rows, *rows[:20]])


if __name__ == "__main__":
    raise SystemExit(main())
