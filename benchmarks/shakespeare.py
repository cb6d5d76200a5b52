"""Shakespeare by characters: the defaults of `unrolled train language`, three minutes.

The last 10 % of the text validate; after the training they are read once more from beginning to end, the state carried
through all of them, and that is the number that counts. nanoGPT's README gives 1.88 nats per character for about three
minutes on a CPU and 1.4697 on an A100.
"""

from __future__ import annotations

import random
import string
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, cast

from pictures import draw
from reporting import Claim, Table, data_folder, parse, parser, report, train

import unrolled as ur
from unrolled.data import read_documents
from unrolled.data.split import hold_out
from unrolled.tasks.curve import read_metrics

TEXT = Path("language", "shakespeare.txt")
HELD_OUT = 0.1
SECONDS = 180
TARGETS = (1.60, 1.50)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, draw the learning curve of the first seed, report."""
    begin = time.perf_counter()
    options = parse(parser("Nats per character on Shakespeare.", seeds=1), arguments)
    limit = ("--epochs", 2, "--hidden", 16) if options.quick else ("--max-time", f"{SECONDS}s")
    rows, picture = [], None
    with data_folder(options.quick, make) as data, tempfile.TemporaryDirectory() as runs:
        for seed in range(options.seeds):
            run = Path(runs, str(seed))
            row = train("language", data / TEXT, options, *limit, "--seed", seed, "--out", run)
            rows.append(row | {"nats": read_through(run, data / TEXT)})
        if options.results is not None:
            picture = "shakespeare.png"
            axes = ("seconds of training", "nats per character")
            draw(options.results / picture, axes, curves(Path(runs, "0")), targets=TARGETS)
    nats = mean(row["nats"] for row in rows)
    claims = [Claim("nats per character of the validation part", nats, target, most=True) for target in TARGETS]
    claims.append(Claim("longest training in seconds", max(row["seconds"] for row in rows), SECONDS, most=True))
    columns = ("seed", "nats per character", "measured in training", "steps", "parameters", "seconds", "whole command")
    table = Table(columns, tuple(cells(seed, row) for seed, row in enumerate(rows)))
    return report("shakespeare", options, claims, table=table, begin=begin, remarks=__doc__, picture=picture)


def read_through(run: Path, text: Path) -> float:
    """Nats per character of the validation part, read as one row from beginning to end."""
    model = cast(ur.LanguageModel, ur.load(run))
    _, valid = hold_out(read_documents(text).texts, HELD_OUT)
    return model.score_texts(valid)[0].loss


def cells(seed: int, row: dict[str, Any]) -> tuple[float | int, ...]:
    """A line of the table."""
    numbers = (row["nats"], row["valid"]["loss"], row["steps"], row["parameters"], row["seconds"], row["wall"])
    return (seed, *(round(number, 4) for number in numbers))


def curves(run: Path) -> dict[str, list[tuple[float, float]]]:
    """Loss over seconds of both parts, from the run's metrics.jsonl."""
    found: dict[str, list[tuple[float, float]]] = {}
    for part, name in (("train", "training part"), ("valid", "validation part")):
        rows = [row for row in read_metrics(run) if row.get("part") == part and row.get("loss") is not None]
        found[name] = [(row["seconds"], row["loss"]) for row in rows]
    return found


def make(folder: Path) -> None:
    """Letters in which each is often followed by its neighbour."""
    chance, letters = random.Random(0), string.ascii_lowercase
    places = [0]
    for _ in range(20_000):
        places.append((places[-1] + chance.choice((1, 1, 1, 7))) % len(letters))
    path = folder / TEXT
    path.parent.mkdir(parents=True)
    path.write_text("".join(letters[place] for place in places), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
