"""A training that is killed fifty times: its final weights are those of one that was left alone, bit by bit.

`unrolled train language` reads the first 100,000 characters of Shakespeare, with dropout and zoneout, and writes a
checkpoint every three steps. The process is killed with SIGKILL at a moment drawn by chance, from when it reads its
command line to some seconds of training, and resumed, again and again; so some kills meet the reading of the text, some
a step, some a checkpoint that is being written. Where a run ends before all kills are spent, another one
begins. Every training is a process of its own, forked from one that has the program loaded, which saves its start.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from reporting import Claim, Table, data_folder, parse, parser, report
from safetensors.torch import load_file

from unrolled.cli import main as cli

KILLS, QUICK = 50, 2
CHARACTERS, QUICK_CHARACTERS = 100_000, 3_000
OPTIONS: dict[str, object] = {
    "hidden": 48, "embedding": 16, "layers": 2, "batch-size": 16, "window": 32, "dropout": 0.1, "zoneout": 0.1,
    "threads": 1, "checkpoint-every": "3steps", "epochs": 3,
}  # fmt: skip
# Of the time of the run left alone: the latest moment for a kill.
SHARE = 0.4
CONTEXT = multiprocessing.get_context("forkserver")

Kills = list[dict[str, Any]]


def make(folder: Path) -> None:
    """Text for a quick run."""
    (folder / "language").mkdir()
    words = random.Random(3).choices(("to", "be", "or", "not", "that", "is", "the"), k=2 * QUICK_CHARACTERS)
    (folder / "language" / "shakespeare.txt").write_text(" ".join(words), encoding="utf-8")


def command(text: Path, run: Path) -> list[str]:
    """Start the run, or go on with it where it has begun."""
    words = ["train", "language"]
    if (run / "config.json").exists():
        return [*words, "--resume", "--out", str(run), "--quiet", "--json"]
    shutil.rmtree(run, ignore_errors=True)
    chosen = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]
    return [*words, str(text), "--out", str(run), *chosen, "--quiet", "--json"]


def unrolled(words: list[str]) -> None:
    """The command in this process, its answer thrown away."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        raise SystemExit(cli.main(words))


def train(text: Path, run: Path, kill_after: float | None = None) -> bool:
    """Train in a process of its own, killed after so many seconds; True where the kill came before the end.

    Raises SystemExit where the training failed.
    """
    process = CONTEXT.Process(target=unrolled, args=(command(text, run),))
    process.start()
    process.join(kill_after)
    if process.exitcode is None:
        process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(f"kills: the training ended with exit code {process.exitcode}")
    return process.exitcode != 0


def step_of(run: Path) -> int:
    """The step of the checkpoint in force, 0 before the first."""
    pointer = run / "checkpoint.json"
    if not pointer.exists():
        return 0
    name: str = json.loads(pointer.read_text(encoding="utf-8"))["checkpoint"]
    return int(name.partition("-")[2])


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """All that a finished run has kept: the best weights, and its last checkpoint with the optimiser and chance."""
    files = [run / "weights.safetensors", *(run / f"checkpoint-{step_of(run)}").glob("*.safetensors")]
    return {f"{path.stem}/{name}": tensor for path in sorted(files) for name, tensor in load_file(path).items()}


def same(one: Path, other: Path) -> bool:
    """Whether two finished runs have the same numbers, to the last bit."""
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def work(text: Path, folder: Path, options: argparse.Namespace) -> tuple[Kills, list[bool]]:
    """Run undisturbed once, then kill and resume until enough kills were spent; a later call goes on from here."""
    notes = folder / "kills.json"
    kept: dict[str, Any] = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
    alone = folder / "alone"
    if "latest" not in kept:
        shutil.rmtree(alone, ignore_errors=True)
        begin = time.perf_counter()
        train(text, alone)
        kept = {"latest": options.share * (time.perf_counter() - begin), "kills": [], "equal": [], "seed": 0}
    deadline = time.perf_counter() + options.minutes * 60
    while len(kept["kills"]) < options.kills and time.perf_counter() < deadline:
        kept["seed"] += 1
        run = folder / f"run-{len(kept['equal'])}"
        after = random.Random(kept["seed"]).uniform(0, kept["latest"])
        if train(text, run, after):
            kept["kills"].append({"run": len(kept["equal"]), "seconds": round(after, 2), "step": step_of(run)})
            print(f"kills: {len(kept['kills'])}: after {after:.1f} s, going on from step {step_of(run)}", flush=True)
        else:
            kept["equal"].append(same(alone, run))
        notes.write_text(json.dumps(kept), encoding="utf-8")
    if len(kept["kills"]) >= options.kills and kept["kills"][-1]["run"] == len(kept["equal"]):
        run = folder / f"run-{len(kept['equal'])}"
        train(text, run)
        kept["equal"].append(same(alone, run))
        notes.write_text(json.dumps(kept), encoding="utf-8")
    return kept["kills"], kept["equal"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, resume, compare, report."""
    begin = time.perf_counter()
    found = parser("A training that is killed fifty times.")
    found.add_argument("--kills", type=int, default=KILLS, help="how many in all")
    found.add_argument("--folder", type=Path, help="keep what was done there, and go on from it")
    found.add_argument("--minutes", type=float, default=1e6, help="stop after so long; call again to go on")
    found.add_argument("--share", type=float, default=SHARE, help="latest moment of a kill, of the time of a whole run")
    options = parse(found, arguments)
    CONTEXT.set_forkserver_preload(["unrolled.cli.main", "unrolled.tasks.training", "unrolled.tasks.language"])
    if options.quick:
        options.kills = QUICK
    with data_folder(options.quick, make) as data:
        folder = options.folder or (data if options.quick else None)
        if folder is None:
            raise SystemExit("kills: give --folder for the runs")
        folder.mkdir(parents=True, exist_ok=True)
        whole = (data / "language" / "shakespeare.txt").read_text(encoding="utf-8")
        text = folder / "text.txt"
        text.write_text(whole[: QUICK_CHARACTERS if options.quick else CHARACTERS], encoding="utf-8")
        kills, equal = work(text, folder, options)
    if len(kills) < options.kills:
        print(f"kills: {len(kills)} of {options.kills}; call again with the same --folder")
        return 0
    claims = [
        Claim("kills", len(kills), options.kills),
        Claim("runs that ended with other numbers than the one left alone", equal.count(False), 0, most=True),
    ]
    moments = sorted(kill["seconds"] for kill in kills)
    lines = tuple(
        (number, sum(kill["run"] == number for kill in kills), "yes" if right else "no")
        for number, right in enumerate(equal)
    )
    remarks = f"{__doc__}\nThe kills came {moments[0]:.1f} to {moments[-1]:.1f} seconds after the start of the process."
    table = Table(("run", "times killed", "equal to the last bit"), lines)
    return report("kills", options, claims, table=table, begin=begin, remarks=remarks)


if __name__ == "__main__":
    raise SystemExit(main())
