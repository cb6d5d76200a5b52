"""A language model of a text far larger than memory: how fast it is encoded, and how much memory training takes.

The text is made: words of letters drawn by chance, the commoner the shorter, in sentences. `unrolled train language`
runs as a user runs it, with a cache of its own, while the resident memory of the process and of all that it starts is
read 20 times a second. Text and cache are deleted afterwards; a run that is killed goes on with what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Claim, Table, parse, parser, report

from unrolled.data.large import data_files, open_texts
from unrolled.data.large.building import Reading

GIGABYTE = 10**9
# The text, as large a cache, and what the machine needs besides.
_LEFT_FREE = 10 * GIGABYTE
_SLICE = 1 << 16


def make_text(path: Path, size: int, seed: int = 0) -> None:
    """Sentences of `size` bytes: slices of 64 KB of some megabytes, in random order; nothing if they are there."""
    if path.exists() and path.stat().st_size == size:
        return
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    lengths = 2 + np.arange(20_000) // 2500
    words = np.array(["".join(rng.choice(letters[:20], size=length)) for length in lengths], dtype=object)
    share = 1 / np.arange(1, len(words) + 1)
    drawn = rng.choice(words, size=min(3_000_000, size // 4), p=share / share.sum())
    ends = rng.choice(np.array([" ", ", ", ". ", ".\n"], dtype=object), size=len(drawn), p=[0.85, 0.06, 0.06, 0.03])
    pool = np.frombuffer("".join((drawn + ends).tolist()).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            starts = rng.integers(0, len(pool) - _SLICE, size=256)
            block = pool[starts[:, None] + np.arange(_SLICE)].reshape(-1)
            file.write(block[:left].data)


class Peak(threading.Thread):
    """The most resident memory that a process and its children have together."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.bytes = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.05):
            self.bytes = max(self.bytes, sum(_resident(number) for number in _tree(self.process)))


def _tree(process: int) -> list[int]:
    found = [process]
    for number in found:
        try:
            children = Path(f"/proc/{number}/task/{number}/children").read_text(encoding="utf-8")
        except OSError:
            continue
        found += map(int, children.split())
    return found


def _resident(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def train(text: Path, folder: Path, options: argparse.Namespace) -> tuple[dict[str, Any], str, int]:
    """The result of the command, what it said, and the peak of its memory in bytes."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "unrolled", "train", "language", str(text), "--cache", str(folder / "cache")]
    sizes = ["--hidden", "64", "--max-time", "2s" if options.quick else "60s", "--out", str(out), "--json"]
    sizes += [] if options.threads is None else ["--threads", str(options.threads)]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen([*command, *sizes], stdout=subprocess.PIPE, stderr=said)  # noqa: S603  # our own words
        peak = Peak(process.pid)
        peak.start()
        output, _ = process.communicate()
    peak.ended.set()
    peak.join()
    print(log.read_text(encoding="utf-8"), end="")
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(output), log.read_text(encoding="utf-8"), peak.bytes


def encoding_speed(folder: Path, size: int = 200_000_000) -> float:
    """Megabytes of the text that are encoded in a second of processor time, whatever else the machine is doing."""
    part = folder / "part.txt"
    with (folder / "text.txt").open("rb") as file:
        part.write_bytes(file.read(size))
    before = time.process_time()
    open_texts(data_files(part), Reading("char"), folder / "other")
    return part.stat().st_size / 2**20 / (time.process_time() - before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the text, train from it, write the result."""
    found = parser(__doc__ or "")
    found.add_argument("--gigabytes", type=float, default=20.0, help="size of the text, less where the disk is smaller")
    found.add_argument("--folder", type=Path, help="where text and cache lie meanwhile; default: a temporary folder")
    options = parse(found, arguments)
    begin = time.perf_counter()
    folder = Path(tempfile.mkdtemp(dir=None)) if options.folder is None else options.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        size = 400_000 if options.quick else _size(options.gigabytes, folder)
        make_text(folder / "text.txt", size)
        os.sync()  # else the encoding waits for the text to be written
        made = time.perf_counter() - begin
        print(f"large_text: {size / GIGABYTE:.1f} GB of text in {made:.0f} s", flush=True)
        trained, said, peak = train(folder / "text.txt", folder, options)
        own = encoding_speed(folder)
    finally:
        if sys.exc_info()[0] is not KeyboardInterrupt:
            shutil.rmtree(folder, ignore_errors=True)
    speeds = re.findall(r"100% of .* MB at ([\d,]+) MB/s", said)
    speed = float(speeds[-1].replace(",", "")) if speeds else float("nan")
    claims = [
        Claim("gigabytes of text", size / GIGABYTE, 4.0),
        Claim("peak resident memory in gigabytes", peak / GIGABYTE, 1.5, most=True),
        Claim("encoded, megabytes a second of one core", own, 50.0),
    ]
    columns = ("gigabytes", "encoded, MB/s as it ran", "peak, GB", "steps of training", "nats per character")
    row = (size / GIGABYTE, speed, peak / GIGABYTE, trained["steps"], trained["valid"]["loss"])
    remarks = (
        "Text of words drawn by chance; the resident memory of all processes counted; the last speed is of 200 MB."
    )
    return report(
        "large_text", options, claims, table=Table(columns, (row,)), begin=begin, remarks=f"{__doc__}\n{remarks}"
    )


def _size(gigabytes: float, folder: Path) -> int:
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    room = (shutil.disk_usage(folder).free + there - _LEFT_FREE) // 2
    return int(max(0, min(gigabytes * GIGABYTE, room)))


if __name__ == "__main__":
    raise SystemExit(main())
