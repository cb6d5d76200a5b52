"""A row of the table of tasks: what it needs, what it must reach, and the work that measures it."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reporting import Claim


@dataclass(frozen=True)
class Target:
    """What a measured value must be: at least `value`, or at most where `most` is set."""

    measure: str
    value: float
    most: bool = False

    def claim(self, row: str, values: Mapping[str, float]) -> Claim:
        """Beside what was measured; a value that is missing is not a number, which reaches nothing."""
        return Claim(f"{row}: {self.measure}", values.get(self.measure, float("nan")), self.value, self.most)


@dataclass(frozen=True)
class Measured:
    """What a row found: values by their measure, the same of the simplest baselines, files of pictures by their name.

    `baselines` may also name a published figure. Pictures must lie in `Work.pictures`.
    """

    values: Mapping[str, float]
    baselines: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()


@dataclass
class Work:
    """What a row works with: `data` and a `folder` of its own for runs and files, both gone or unchanged afterwards.

    `share` shortens every time limit, for a trial.
    """

    data: Path
    folder: Path
    pictures: Path
    options: argparse.Namespace
    share: float = 1.0
    trained: float = 0.0
    commands: list[str] = field(default_factory=list)
    last: Path | None = None

    @property
    def quick(self) -> bool:
        """Whether only the script is tried, on made data."""
        return bool(self.options.quick)

    def limit(self, seconds: float) -> tuple[object, ...]:
        """`--max-time`, or in a quick run a single epoch."""
        return ("--epochs", 1) if self.quick else ("--max-time", f"{max(1, round(seconds * self.share))}s")

    def train(self, task: str, file: Path, out: str, *more: object) -> dict[str, Any]:
        """`unrolled train TASK FILE --out OUT ...` in a process of its own; its JSON, where `run` is the run's folder.

        Raises SystemExit where the command fails.
        """
        threads = () if self.options.threads is None else ("--threads", self.options.threads)
        found = self.run("train", task, file, "--out", self.folder / out, *more, *threads)
        self.trained += found["seconds"]
        self.last = self.folder / out
        return found

    def keep_course(self, name: str) -> tuple[str, ...]:
        """The picture of the last training's course, copied beside the results."""
        if self.last is None or not (self.last / "curve.png").exists():
            return ()
        picture = f"{name.replace(',', '').replace(' ', '-')}.png"
        shutil.copyfile(self.last / "curve.png", self.pictures / picture)
        return (picture,)

    def run(self, *words: object) -> dict[str, Any]:
        """`unrolled ...` in a process of its own: its JSON. Raises SystemExit where the command fails."""
        line = [*map(str, words), "--json", *(["--quiet"] if self.quick else [])]
        self.commands.append(self._shown(words))
        command = [sys.executable, "-m", "unrolled", *line]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603  # words of our own, no shell
        if done.returncode:
            raise SystemExit(f"`{self.commands[-1]}` ended with exit code {done.returncode}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _shown(self, words: tuple[object, ...]) -> str:
        """The command as anybody would type it: folders of this run shortened."""
        line = shlex.join(["unrolled", *map(str, words)])
        return line.replace(f"{self.folder}/", "runs/").replace(f"{self.data}/", "")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    - `data`: file or folder of the real data that it reads, or None where it makes its own.
    - `make`: writes files of the same names, small and made up, into a folder, for a quick run.
    - `command`: what is shown; by default the first command that the row runs.
    - `why`: said of it, beside the course of its last training, where a target is missed.
    """

    name: str
    data: str | None
    targets: tuple[Target, ...]
    measure: Callable[[Work], Measured]
    make: Callable[[Path], None] | None = None
    command: str = ""
    why: str = ""

    def run(self, work: Work) -> dict[str, Any]:
        """Measure: what tasks.json keeps of it."""
        begin = time.perf_counter()
        found = self.measure(work)
        claims = [target.claim(self.name, found.values) for target in self.targets]
        missed = not all(claim.reached for claim in claims)
        course = work.keep_course(self.name) if missed and not work.quick else ()
        return {
            "name": self.name,
            "claims": [vars(claim) | {"reached": claim.reached} for claim in claims],
            "values": dict(found.values),
            "baselines": dict(found.baselines),
            "pictures": [*found.pictures, *course],
            "command": self.command or (work.commands[0] if work.commands else ""),
            "trained": round(work.trained, 1),
            "seconds": round(time.perf_counter() - begin, 1),
        }
