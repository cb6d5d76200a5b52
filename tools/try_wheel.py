"""Install the wheels of a folder into fresh environments outside the checkout and use them there.

python3 tools/try_wheel.py dist constraints.txt torch==2.13.0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"


def main(dist: str, constraints: str, torch: str) -> None:
    """Train a tiny model with the one wheel, write with it, look inside; answer with the other one without torch."""
    (wheel,) = (path for path in Path(dist).glob("*.whl") if not path.name.startswith("unrolled_runtime"))
    (small,) = Path(dist).glob("unrolled_runtime*.whl")
    with tempfile.TemporaryDirectory(prefix="unrolled-wheel-") as name:
        folder = Path(name)
        run = environment(folder, "env", constraints, torch, str(wheel.resolve()))
        (folder / "fox.txt").write_text(TEXT * 200, encoding="utf-8")
        print(run("unrolled", "--version").strip())
        run("unrolled", "cells", "GRU")
        run("unrolled", "train", "language", "fox.txt", "--out", "fox", "--hidden", "32", "--epochs", "20", "--quiet")
        text = json.loads(run("unrolled", "generate", "fox", "--prompt", "the ", "--length", "20", "--json"))["text"]
        run("unrolled", "inspect", "fox", "--out", "fox.html", "--quiet")
        print(f"{wheel.name} works outside the checkout, and wrote {text!r}")
        run_small = environment(folder, "small", constraints, str(small.resolve()))
        (folder / "prompt.txt").write_text("the quick brown \n", encoding="utf-8")
        ask = ("unrolled-runtime", "fox", "prompt.txt")
        wanted = json.loads(run("python", "-m", "unrolled.runtime", *ask[1:]))
        found = json.loads(run_small(*ask))
        differences = [abs(found["next"].get(word, 2) - p) for word, p in wanted["next"].items()]
        if max(differences) > 1e-5:
            raise SystemExit(f"{small.name} says {found}, not {wanted}")
        run_small("python", "-c", "import importlib.util as u; assert u.find_spec('torch') is None")
        print(f"{small.name} says the same without torch, after {next(iter(found['next']))!r}")


def environment(folder: Path, name: str, constraints: str, *wheels: str) -> Callable[..., str]:
    """A fresh environment with these, in turn; what comes back runs a program of it and gives its output."""
    venv.create(folder / name, with_pip=True)
    binaries = folder / name / ("Scripts" if os.name == "nt" else "bin")
    # Without PYTHONPATH and away from the checkout only the wheels can answer.
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(program: str, *words: str) -> str:
        command = [binaries / program, *words]
        done = subprocess.run(command, cwd=folder, env=surroundings, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    for wheel in wheels:
        run("python", "-m", "pip", "install", "-q", "-c", str(Path(constraints).resolve()), wheel)
    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
