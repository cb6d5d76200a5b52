"""Two processes train together: the losses of one, whoever dies, and how much faster.

`torchrun` starts two processes that divide every batch, without dropout, on the first characters of Shakespeare (a
language model) and on surnames (a classifier); the same command with one process takes the same batches. Then one of
the two is killed with SIGKILL at moments drawn by chance, torchrun starts both again, and they go on from the last
checkpoint; the weights at the end are compared with those of a training that was left alone. Then the time of a step
with one process and with two, each with one thread, interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from reporting import RESULTS, Claim, Table, data_folder, parse, parser, report
from safetensors.torch import load_file

KILLS, QUICK_KILLS = 20, 1
CHARACTERS, QUICK_CHARACTERS = 60_000, 12_000
SHARED: dict[str, object] = {"threads": 1, "batch-size": 32, "checkpoint-every": "5steps"}
TASKS: dict[str, dict[str, object]] = {
    "language": SHARED | {"hidden": 64, "window": 16, "epochs": 1},
    "classify": SHARED
    | {
        "text": "name",
        "label": "language",
        "units": "char",
        "hidden": 64,
        "dropout": 0,
        "input-dropout": 0,
        "epochs": 1,
    }
    | {"word-dropout": 0},
}
SCALED: dict[str, object] = {"threads": 1, "batch-size": 64, "hidden": 512, "window": 128, "epochs": 1}
# Steps that a speed is taken from, after the first measurement, which holds the compilation.
STEPS = 50


def make(folder: Path) -> None:
    """Text and names for a quick run."""
    for name in ("language", "classify"):
        (folder / name).mkdir()
    chance = random.Random(3)
    words = chance.choices(("to", "be", "or", "not", "that", "is", "the"), k=2 * QUICK_CHARACTERS)
    (folder / "language" / "shakespeare.txt").write_text(" ".join(words), encoding="utf-8")
    rows = [f"{''.join(chance.choices('abcdef', k=6))},{chance.choice('xy')}" for _ in range(800)]
    (folder / "classify" / "names.csv").write_text("\n".join(["name,language", *rows]), encoding="utf-8")


def command(task: str, data: Path, run: Path, options: dict[str, object], processes: int) -> list[str]:
    """Train with one process, or with several that are started again when one dies."""
    words = ["-m", "unrolled", "train", task, str(data), "--out", str(run), "--quiet", "--json"]
    words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    if processes == 1:
        return [sys.executable, *words]
    launch = ["-m", "torch.distributed.run", "--standalone", "--max-restarts", str(2 * KILLS)]
    return [sys.executable, *launch, "--nproc-per-node", str(processes), *words]


def train(task: str, data: Path, run: Path, options: dict[str, object], processes: int) -> None:
    """Raises SystemExit where it fails."""
    shutil.rmtree(run, ignore_errors=True)
    done = subprocess.run(command(task, data, run, options, processes), stdout=subprocess.DEVNULL, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"distributed: {task} with {processes} processes ended with {done.returncode}")


def losses(run: Path) -> list[float]:
    """The training losses in metrics.jsonl."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["loss"] for row in rows if row["part"] == "train"]


def workers(launcher: int) -> list[int]:
    """The processes that a launcher has started, by Linux's own list."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    return [int(number) for number in children.read_text().split()] if children.exists() else []


def killed(data: Path, run: Path, chance: random.Random, left: int, latest: float) -> int:
    """One training of the language model with up to `left` kills; how many there were."""
    shutil.rmtree(run, ignore_errors=True)
    words = command("language", data, run, TASKS["language"], 2)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    kills = 0
    while process.poll() is None:
        end = time.monotonic() + chance.uniform(0.3, 1) * latest
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        found = workers(process.pid)
        if process.poll() is None and kills < left and len(found) == 2:
            os.kill(chance.choice(found), signal.SIGKILL)
            kills += 1
    if process.returncode:
        raise SystemExit(f"distributed: after {kills} kills torchrun ended with {process.returncode}")
    return kills


def same(one: Path, other: Path) -> bool:
    """Whether the final weights are those of the other run, to the last bit."""
    a, b = (load_file(run / "weights.safetensors") for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def speed(run: Path) -> float:
    """Targets a second, the median after the first measurement."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return float(statistics.median([row["targets_per_second"] for row in rows if row["part"] == "train"][1:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, kill, time, report."""
    begin = time.perf_counter()
    found = parser("Two processes train together.")
    found.add_argument("--kills", type=int, default=KILLS, help="how many in all")
    found.add_argument("--part", choices=PARTS, help="only this; the rest of the result stays what it was")
    options = parse(found, arguments)
    claims, rows = ({}, {}) if options.part is None else before(options.results or RESULTS)
    with data_folder(options.quick, make) as data:
        folder = data if options.quick else Path(tempfile.gettempdir()) / "unrolled-distributed"
        folder.mkdir(exist_ok=True)
        work = Work(data, folder, options)
        for name, measure in PARTS.items():
            if options.part in (None, name):
                new_claims, new_rows = measure(work)
                claims |= {claim.what: claim for claim in new_claims}
                rows |= dict(new_rows)
    table = Table(("what", "value"), tuple(rows.items()))
    return report("distributed", options, list(claims.values()), table=table, begin=begin, remarks=str(__doc__))


def before(results: Path) -> tuple[dict[str, Claim], dict[str, Any]]:
    """What an earlier run has found."""
    path = results / "distributed.json"
    if not path.exists():
        return {}, {}
    found = json.loads(path.read_text(encoding="utf-8"))
    old = (Claim(one["what"], one["value"], one["target"], one["most"]) for one in found["claims"])
    return {claim.what: claim for claim in old}, dict(found["table"]["rows"])


@dataclass
class Work:
    """Where the data lies, where the runs go, and what was asked for."""

    data: Path
    folder: Path
    options: argparse.Namespace

    @property
    def whole(self) -> str:
        """All of the text."""
        return (self.data / "language" / "shakespeare.txt").read_text(encoding="utf-8")

    def files(self) -> dict[str, Path]:
        """The file of each task, that of the language model cut short."""
        text = self.folder / "text.txt"
        text.write_text(self.whole[: QUICK_CHARACTERS if self.options.quick else CHARACTERS], encoding="utf-8")
        return {"language": text, "classify": self.data / "classify" / "names.csv"}


Found = tuple[list[Claim], list[tuple[str, Any]]]


def compared(work: Work) -> Found:
    """The losses of two processes beside those of one."""
    claims = []
    for task, own in TASKS.items():
        for processes in (2, 1):
            train(task, work.files()[task], work.folder / f"{task}-{processes}", own, processes)
        one, two = (losses(work.folder / f"{task}-{processes}") for processes in (1, 2))
        worst = max(abs(a - b) / abs(a) for a, b in zip(one, two, strict=True))
        claims.append(
            Claim(f"{task}: largest relative difference of {len(one)} mean losses of 10 steps", worst, 1e-5, True)
        )
    return claims, []


def disturbed(work: Work) -> Found:
    """Trainings one of whose two processes is killed, beside one that is left alone."""
    text, alone = work.files()["language"], work.folder / "alone"
    began = time.monotonic()
    train("language", text, alone, TASKS["language"], 2)
    latest = time.monotonic() - began
    kills = QUICK_KILLS if work.options.quick else work.options.kills
    chance, spent = random.Random(1), 0
    equal: list[bool] = []
    while spent < kills:
        run = work.folder / f"killed-{len(equal)}"
        spent += killed(text, run, chance, kills - spent, max(4.0, latest / 2))
        equal.append(same(alone, run))
        print(f"distributed: {spent} kills, weights equal: {equal}", flush=True)
    claims = [
        Claim("kills of one of two processes", spent, kills),
        Claim("trainings that ended with other weights than the one left alone", equal.count(False), 0, True),
    ]
    return claims, [("trainings with kills", len(equal))]


def scaled(work: Work) -> Found:
    """The speed of two processes beside that of one, in turn; for a machine with nothing else to do."""
    if work.options.quick:
        return [], []
    big = work.folder / "all.txt"
    big.write_text(work.whole[: STEPS * 64 * 128], encoding="utf-8")
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(2):
        for processes, seen in speeds.items():
            train("language", big, work.folder / "speed", SCALED, processes)
            seen.append(speed(work.folder / "speed"))
    rows = [(f"targets a second, {processes} processes", round(max(seen))) for processes, seen in speeds.items()]
    return [], [*rows, ("times as fast with two", round(max(speeds[2]) / max(speeds[1]), 2))]


PARTS: dict[str, Callable[[Work], Found]] = {"losses": compared, "kills": disturbed, "scaling": scaled}


if __name__ == "__main__":
    raise SystemExit(main())
