"""`python -m fuzzing --seconds 600`: every target, and a list of what was found."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from fuzzing.law import SECONDS
from fuzzing.targets import TARGETS

# Waiting without computing is a hang as well; what starts libraries on a busy machine is none.
_PATIENCE = 120.0
# A target that trains a network first, or decodes a film, tries fewer files in a second.
_SLOW = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzzing", description="Damaged files for every reader.")
    parser.add_argument("--seconds", type=float, default=600.0, help="in all, over all targets and engines")
    parser.add_argument("--only", default="", help="targets whose names begin so")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="of both engines")
    parser.add_argument("--out", type=Path, default=None, help="folder for what is found")
    given = parser.parse_args()
    out = given.out or Path(mkdtemp(prefix="unrolled-found-"))
    both = importlib.util.find_spec("atheris") is not None
    if not both:
        print("atheris is not installed (pip install atheris); hypothesis searches alone")
    names = [name for name in TARGETS if name.startswith(tuple(given.only.split(",")))]
    print(
        f"{len(names)} targets, hypothesis{' and atheris' * both}, {given.seconds:g} s, seed {given.seed}", flush=True
    )
    end = time.monotonic() + given.seconds
    weights = [_SLOW if TARGETS[name].slow else 1 for name in names]
    for place, name in enumerate(names):
        share = max(2.0, (end - time.monotonic()) * weights[place] / sum(weights[place:]))
        print(f"{name:<24}{_search(name, share, out, given.seed)}", flush=True)
    faults = sorted((out / "found").glob("*.txt")) if (out / "found").exists() else []
    for fault in faults:
        print(f"\n{fault.with_suffix('.bin')}\n  {fault.read_text(encoding='utf-8').splitlines()[0]}")
    print(f"\n{len(faults)} faults" + (f" in {out / 'found'}" if faults else ""))
    return 1 if faults else 0


def _search(name: str, seconds: float, out: Path, seed: int) -> str:
    """Search in a process of its own, and say how that went."""
    # A file a try: in memory where there is such a place.
    memory = Path("/dev/shm")
    folder = Path(mkdtemp(prefix="unrolled-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        return _search_in(folder, name, seconds, out, seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _search_in(folder: Path, name: str, seconds: float, out: Path, seed: int) -> str:
    command = [sys.executable, "-m", "fuzzing.search", name, f"{seconds:.2f}", str(folder), str(out), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds + _PATIENCE, env=environment,
            cwd=Path(__file__).parent.parent, check=False,
        )  # fmt: skip
        code: int | None = done.returncode
        said = done.stdout.split("\n")
    except subprocess.TimeoutExpired:
        code, said = None, []
    numbers = next((line for line in said if line.replace(" ", "").isdigit()), None)
    if code == 0 and numbers is not None:
        tried, read, faults = numbers.split()
        return f"{int(tried):>8,} tried {int(read):>8,} read {faults:>3} faults"
    return _died(name, folder, out, code, "" if code is None else done.stderr)


def _died(name: str, folder: Path, out: Path, code: int | None, stderr: str) -> str:
    """Keep the input that a process died of."""
    what = {None: "it waits for ever", -getattr(signal, "SIGPROF", 99): f"a hang of more than {SECONDS:g} s"}.get(
        code, f"the process died ({code})"
    )
    found = out / "found"
    found.mkdir(parents=True, exist_ok=True)
    file = folder / "input.bin"
    data = file.read_bytes() if file.exists() else b""
    (found / f"{name}-died.bin").write_bytes(data)
    (found / f"{name}-died.txt").write_text(f"{what}\n{data[:2000]!r}\n\n{stderr[-4000:]}", encoding="utf-8")
    return f"  {what}"


if __name__ == "__main__":
    raise SystemExit(main())
