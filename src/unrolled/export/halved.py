"""A run in half the room: its weights in bfloat16."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from unrolled.tasks.run import (
    CURVE,
    METRICS,
    VOCABULARY,
    WEIGHTS,
    check_free,
    create_folder,
    open_run,
    read_config,
    read_weights,
    write_bytes,
    write_config,
)


@dataclass(frozen=True)
class Halved:
    """Where the run was written, the sizes of both files of weights, and the metrics of both on `data`."""

    run: Path
    bytes_float32: int
    bytes_bfloat16: int
    float32: dict[str, float]
    bfloat16: dict[str, float]


def halve(run: Path, out: Path, *, data: Path | None = None) -> Halved:
    """Write a run with its weights rounded to bfloat16, 8 bits of precision instead of 24.

    The result is a run like any other: it opens everywhere, and computes in float32. With `data` both are measured.
    Raises RunError where the run cannot be read or the folder is not empty.
    """
    check_free(out)
    config, weights = read_config(run), read_weights(run)
    model = open_run(run)
    small = {name: value.to(torch.bfloat16) if value.is_floating_point() else value for name, value in weights.items()}
    create_folder(out, model.task)
    for name in (VOCABULARY, METRICS, CURVE):
        if (run / name).exists():
            shutil.copyfile(run / name, out / name)
    write_bytes(out / WEIGHTS, save(small, {"format": "unrolled"}))
    write_config(out, config)
    before, after = (
        ({}, {}) if data is None else (_numbers(model.evaluate(data)), _numbers(open_run(out).evaluate(data)))
    )
    return Halved(out, (run / WEIGHTS).stat().st_size, (out / WEIGHTS).stat().st_size, before, after)


def _numbers(found: dict[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
