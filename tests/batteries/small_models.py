"""A small model of any task with random weights, built from a small file that is made for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batteries.drawings import album
from unrolled.tasks import TASKS, Common

WORDS = ("the", "A", "dog", "Cat", "sees", "42", ".", "runs")
SMALL: dict[str, dict[str, Any]] = {
    "language": {"hidden": 7, "embedding": 5},
    "classify": {"hidden": 6, "embedding": 5},
    "regress": {"hidden": 6, "target": ("goal",), "sequence": "id"},
    "tag": {"hidden": 6, "embedding": 5, "characters": 3, "minimum": 1, "size": 16},
    "forecast": {"hidden": 6, "embedding": 4, "horizon": 5, "time": "time"},
    "transcribe": {"hidden": 6, "layers": 2},
    "translate": {"hidden": 8, "embedding": 6, "units": "word", "minimum": 1},
    "caption": {"hidden": 8, "embedding": 6, "size": 16, "channels": (8, 16), "blocks": 1},
}


def small_model(task: str, data: Path, **options: Any) -> Any:
    """The model of a task for a file, never trained, its weights random enough to tell gates and terms apart."""
    torch.manual_seed(11)
    wanted = TASKS[task].options(**{**SMALL[task], **options})
    kind = TASKS[task].model
    model = kind.build(kind.read(data, wanted, Common(data=data, threads=1)), wanted)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in model.module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(0.1 * torch.rand_like(buffer))
    model.module.eval()
    return model


def small_file(task: str, folder: Path, kind: str = "") -> Path:
    """A file that a task can be trained on; `kind` chooses among what it reads."""
    if task == "caption":
        return album(folder, 12)
    name, write = _FILES[task + kind]
    (folder / name).write_text("\n".join(write(np.random.default_rng(5))) + "\n", encoding="utf-8")
    return folder / name


def _moods(rng: np.random.Generator) -> list[str]:
    rows = [f"{' '.join(rng.choice(WORDS[:5], rng.integers(2, 7)))},{'xy'[k % 2]}" for k in range(20)]
    return ["text,label", *rows]


def _dna(rng: np.random.Generator) -> list[str]:
    return ["text,label", *(f"{''.join(rng.choice(list('ACGT'), 20))},{'xy'[k % 2]}" for k in range(20))]


def _sums(rng: np.random.Generator) -> list[str]:
    rows = [f"{k},{rng.normal():.3f},{rng.normal():.3f},{k / 3:.2f}" for k in range(12) for _ in range(4)]
    return ["id,x,y,goal", *rows]


def _sentences(rng: np.random.Generator) -> list[str]:
    return [line for k in range(12) for line in [*(f"{rng.choice(WORDS)}\t{'NVX'[k % 3]}" for _ in range(5)), ""]]


def _steps(rng: np.random.Generator) -> list[str]:
    return ["part,x,y,label", *(f"{k % 3},{rng.normal():.3f},{rng.normal():.3f},{'ab'[k % 2]}" for k in range(90))]


def _sold(rng: np.random.Generator) -> list[str]:
    days = np.datetime64("2024-01-01") + np.arange(120)
    return ["time,sold,open", *(f"{day},{5 + (k % 7) + rng.integers(3)},{k % 2}" for k, day in enumerate(days))]


def _pens(rng: np.random.Generator) -> list[str]:
    samples = []
    for _ in range(10):
        text = "".join(rng.choice(list("abc"), 3))
        strokes = (10 + np.cumsum(rng.normal(size=(6, 7, 2)), 1)).round(3).tolist()
        samples.append(json.dumps({"strokes": strokes, "text": text}))
    return samples


def _pairs(rng: np.random.Generator) -> list[str]:
    rows = [f"{' '.join(rng.choice(WORDS, n))}\t{' '.join(rng.choice(WORDS, n + 1))}" for n in rng.integers(1, 6, 20)]
    return ["from\tto", *rows]


_FILES: dict[str, tuple[str, Callable[[np.random.Generator], list[str]]]] = {
    "language": ("story.txt", lambda rng: ["".join(rng.choice(list("abcd \n"), 400))]),
    "languagemany": ("words.txt", lambda rng: [" ".join(f"w{k}" for k in rng.integers(0, 40, 400))]),
    "classify": ("moods.csv", _moods),
    "classifydna": ("dna.csv", _dna),
    "regress": ("sums.csv", _sums),
    "tag": ("words.conll", _sentences),
    "tagnumbers": ("steps.csv", _steps),
    "forecast": ("sold.csv", _sold),
    "transcribe": ("pens.jsonl", _pens),
    "translate": ("pairs.tsv", _pairs),
}
