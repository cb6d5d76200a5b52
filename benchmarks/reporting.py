"""What every benchmark shares: its options, the way to the data, `unrolled train` as a user runs it, the result."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import unrolled
from unrolled.engine.cpu.target import host

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Claim:
    """A measured value and what it must be: at least `target`, or at most where `most` is set."""

    what: str
    value: float
    target: float
    most: bool = False

    @property
    def reached(self) -> bool:
        """Whether the value is on the right side of the target; never where it is not a number."""
        return self.value <= self.target if self.most else self.value >= self.target

    def __str__(self) -> str:
        limit = f"{'at most' if self.most else 'at least'} {self.target:g}"
        return f"{self.what}: {self.value:.4g} ({limit}: {'reached' if self.reached else 'missed'})"


@dataclass(frozen=True)
class Table:
    """What lies behind the claims, row by row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]


def parser(description: str, seeds: int | None = None) -> argparse.ArgumentParser:
    """The options of all benchmarks; `seeds`, where a benchmark has several runs, is how many by default."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    found.add_argument("--quick", action="store_true", help="seconds on made data: whether the script works")
    found.add_argument("--results", type=Path, help="folder for the result; default: benchmarks/results, none if quick")
    found.add_argument("--threads", type=int, help="processor threads; default: what torch chooses")
    if seeds is not None:
        found.add_argument("--seeds", type=int, default=seeds, help="runs, of the seeds 0, 1, ...")
    return found


def parse(found: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options given; sets the threads of this process and makes the folder of the results."""
    options = found.parse_args(arguments)
    if options.results is None and not options.quick:
        options.results = RESULTS
    if options.results is not None:
        options.results.mkdir(parents=True, exist_ok=True)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return options


@contextmanager
def data_folder(quick: bool, make: Callable[[Path], None]) -> Iterator[Path]:
    """The folder of the real data, or for a quick run a temporary one that `make` fills with files of the same names.

    Raises SystemExit where the real data is absent.
    """
    if quick:
        with tempfile.TemporaryDirectory() as made:
            make(Path(made))
            yield Path(made)
        return
    folder = Path(os.environ.get("UNROLLED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"real data is not in {folder}: set UNROLLED_DATA (docs/data.md names the sources)")
    yield folder


def train(task: str, data: Path, options: argparse.Namespace, *more: object) -> dict[str, Any]:
    """`unrolled train` in a process of its own: its JSON, and in `wall` the seconds of the whole command.

    Raises SystemExit where the command fails.
    """
    words = [task, data, *more, "--json"]
    words += ["--quiet"] if options.quick else []
    words += [] if options.threads is None else ["--threads", options.threads]
    begin = time.perf_counter()
    command = [sys.executable, "-m", "unrolled", "train", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603  # words of our own, no shell
    if done.returncode:
        raise SystemExit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"wall": time.perf_counter() - begin}


def report(
    name: str,
    options: argparse.Namespace,
    claims: Sequence[Claim],
    *,
    table: Table,
    begin: float,
    remarks: str,
    picture: str | None = None,
) -> int:
    """Print the claims, write NAME.json, and return the exit code: 1 where a target was missed.

    A quick run reaches nothing and misses nothing. `begin`: `time.perf_counter()` when the benchmark began.
    """
    seconds = time.perf_counter() - begin
    print("\n".join(f"{name}: {claim}" for claim in claims))
    print(f"{name}: {seconds:.0f} s in all")
    if options.results is not None:
        found = result(name, claims, table, seconds, remarks)
        write(options.results, found | {"quick": options.quick, "picture": picture})
    return 0 if options.quick or all(claim.reached for claim in claims) else 1


def result(name: str, claims: Sequence[Claim], table: Table, seconds: float, remarks: str) -> dict[str, Any]:
    """What `summary.py` reads of NAME.json."""
    return {
        "name": name,
        "quick": False,
        "seconds": round(seconds, 1),
        "claims": [vars(claim) | {"reached": claim.reached} for claim in claims],
        "table": vars(table),
        "remarks": remarks,
        "picture": None,
        "machine": machine(),
    }


def write(results: Path, found: Mapping[str, Any]) -> None:
    """NAME.json in the folder of the results."""
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (results / f"{found['name']}.json").write_text(text, encoding="utf-8")


def machine() -> dict[str, str | int]:
    """What the result was measured on."""
    return {
        "processor": host().cpu,
        "vector_bits": host().bits,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "unrolled": unrolled.__version__,
    }
