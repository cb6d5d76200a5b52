"""SST-2 sentences, positive or negative: the defaults of `unrolled train classify`, nothing pretrained.

The 6,920 training sentences alone; the development part decides which weights are kept, the test part is read once.
"""

from __future__ import annotations

import csv
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from reporting import Claim, Table, data_folder, parse, parser, report, train

FILES = {part: Path("classify", f"sst2-{part}.csv") for part in ("train", "dev", "test")}
SECONDS = 180
TARGET = 0.80


def main(arguments: Sequence[str] | None = None) -> int:
    """Train once for each seed, report the mean test accuracy."""
    begin = time.perf_counter()
    options = parse(parser("Test accuracy on SST-2.", seeds=3), arguments)
    limit = ("--epochs", 2, "--hidden", 8, "--embedding", 8) if options.quick else ("--max-time", f"{SECONDS}s")
    rows = []
    with data_folder(options.quick, make) as data, tempfile.TemporaryDirectory() as runs:
        parts = ("--valid", data / FILES["dev"], "--test", data / FILES["test"])
        for seed in range(options.seeds):
            out = Path(runs, str(seed))
            rows.append(train("classify", data / FILES["train"], options, *parts, *limit, "--seed", seed, "--out", out))
    claims = [
        Claim(f"mean test accuracy of {options.seeds} seeds", mean(row["test"]["accuracy"] for row in rows), TARGET),
        Claim("longest training in seconds", max(row["seconds"] for row in rows), SECONDS, most=True),
    ]
    columns = ("seed", "test accuracy", "test macro-F1", "dev accuracy", "steps", "seconds", "whole command")
    table = Table(columns, tuple(cells(seed, row) for seed, row in enumerate(rows)))
    return report("sentiment", options, claims, table=table, begin=begin, remarks=__doc__)


def cells(seed: int, row: dict[str, Any]) -> tuple[float | int, ...]:
    """A line of the table."""
    test, dev = row["test"], row["valid"]
    numbers = (test["accuracy"], test["macro_f1"], dev["accuracy"], row["steps"], row["seconds"], row["wall"])
    return (seed, *(round(number, 4) for number in numbers))


def make(folder: Path) -> None:
    """Sentences of made words, some of which tell the label."""
    chance = random.Random(0)
    words = {"positive": ("fine", "bright", "dear"), "negative": ("dull", "grim", "stale")}
    for path, count in zip(FILES.values(), (120, 40, 40), strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            for _ in range(count):
                label = chance.choice(list(words))
                others = [f"w{chance.randrange(50)}" for _ in range(chance.randrange(2, 9))]
                writer.writerow((" ".join([*others, chance.choice(words[label]), *others[:2]]), label))


if __name__ == "__main__":
    raise SystemExit(main())
