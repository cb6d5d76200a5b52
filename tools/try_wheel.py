"""Install the wheel of a folder into a fresh environment outside the checkout and use it there.

python3 tools/try_wheel.py dist constraints.txt torch==2.13.0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"


def main(dist: str, constraints: str, torch: str) -> None:
    """Build the environment, train a tiny model with it, generate and predict."""
    (wheel,) = Path(dist).glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="unrolled-wheel-") as name:
        folder = Path(name)
        venv.create(folder / "env", with_pip=True)
        binaries = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        pip = [binaries / "python", "-m", "pip", "install", "-q", "-c", Path(constraints).resolve()]
        # Without PYTHONPATH and away from the checkout only the wheel can answer.
        surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

        def run(*command: str | Path) -> str:
            done = subprocess.run(command, cwd=folder, env=surroundings, check=True, stdout=subprocess.PIPE, text=True)
            return done.stdout

        run(*pip, torch)
        run(*pip, wheel.resolve())
        (folder / "fox.txt").write_text(TEXT * 200, encoding="utf-8")
        unrolled = binaries / "unrolled"
        print(run(unrolled, "--version").strip())
        run(unrolled, "cells", "GRU")
        run(unrolled, "train", "language", "fox.txt", "--out", "fox", "--hidden", "32", "--epochs", "20", "--quiet")
        text = json.loads(run(unrolled, "generate", "fox", "--prompt", "the ", "--length", "20", "--json"))["text"]
        print(f"{wheel.name} works outside the checkout, and wrote {text!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
