"""Small data for the tagging task, made by chance, and a quick way to train on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unrolled.tasks import TASKS, Common
from unrolled.tasks.training import RunResult

WORDS = {"D": ("the", "a", "The"), "N": ("dog", "Cat", "house", "bee"), "V": ("sees", "barks", "SAW"), "X": ("42", ".")}
NEXT = {"D": "N", "N": "VX", "V": "DX", "X": "DN"}


def write_sentences(path: Path, count: int = 40, seed: int = 5) -> Path:
    """Sentences whose labels follow from words and order."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        label = str(rng.choice(list("DN")))
        for _ in range(rng.integers(2, 8)):
            lines.append(f"{rng.choice(WORDS[label])}\t{label}")
            label = str(rng.choice(list(NEXT[label])))
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_steps(path: Path, sequences: int = 12, seed: int = 5) -> Path:
    """Numbers; the label says whether x was above 1 at this step or at one of the two before: it needs the past."""
    rng = np.random.default_rng(seed)
    rows = ["video,no,x,y,phase"]
    for sequence in range(sequences):
        x = rng.normal(size=rng.integers(8, 20))
        for t in range(len(x)):
            label = "hit" if (x[max(0, t - 2) : t + 1] > 1).any() else "rest"
            rows.append(f"v{sequence},{t},{x[t]:.4f},{rng.normal():.4f},{label}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def train_tagger(data: Path, out: Path | None = None, *, epochs: int = 2, **options: Any) -> RunResult:
    """A small run."""
    common = {name: options.pop(name) for name in list(options) if hasattr(Common, name)}
    small = {"hidden": 8, "embedding": 6, "characters": 4, "batch_size": 8, "ema": 0.0, "minimum": 1, **options}
    wanted = TASKS["tag"].options(**small)
    return TASKS["tag"].train(wanted, Common(data=data, out=out, epochs=epochs, threads=1, **common))
