"""Training: the loop, its optimisers and schedules, checkpoints, metrics and what can watch it. Loads when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrolled.train.checkpoint import POINTER, Checkpoint, Checkpoints
    from unrolled.train.interrupt import Interrupted
    from unrolled.train.loop import Trainer
    from unrolled.train.metrics import (
        accuracy,
        bits_per_character,
        confusion_matrix,
        macro_f1,
        mae,
        mse,
        perplexity,
    )
    from unrolled.train.metrics_file import MetricsFile
    from unrolled.train.observers import Evaluation, Observer, Start, Step, TrainResult
    from unrolled.train.position import check_resumable
    from unrolled.train.progress import ProgressBar
    from unrolled.train.protocols import BatchSource, LossOutput, Objective
    from unrolled.train.randomness import seeded, thread_count
    from unrolled.train.schedule import Plan, decay_scale, rate_scale, warmup_scale
    from unrolled.train.settings import TrainSettings
    from unrolled.train.tensorboard import TensorBoardWriter, tensorboard_installed
    from unrolled.train.tree import Carry, detach, fill, leaves, map_tensors
    from unrolled.train.weights import named_weights, restore, snapshot

_HOME = {
    "POINTER": "unrolled.train.checkpoint",
    "Checkpoint": "unrolled.train.checkpoint",
    "Checkpoints": "unrolled.train.checkpoint",
    "Interrupted": "unrolled.train.interrupt",
    "Trainer": "unrolled.train.loop",
    "accuracy": "unrolled.train.metrics",
    "bits_per_character": "unrolled.train.metrics",
    "confusion_matrix": "unrolled.train.metrics",
    "macro_f1": "unrolled.train.metrics",
    "mae": "unrolled.train.metrics",
    "mse": "unrolled.train.metrics",
    "perplexity": "unrolled.train.metrics",
    "MetricsFile": "unrolled.train.metrics_file",
    "Evaluation": "unrolled.train.observers",
    "Observer": "unrolled.train.observers",
    "Start": "unrolled.train.observers",
    "Step": "unrolled.train.observers",
    "TrainResult": "unrolled.train.observers",
    "check_resumable": "unrolled.train.position",
    "ProgressBar": "unrolled.train.progress",
    "BatchSource": "unrolled.train.protocols",
    "LossOutput": "unrolled.train.protocols",
    "Objective": "unrolled.train.protocols",
    "seeded": "unrolled.train.randomness",
    "thread_count": "unrolled.train.randomness",
    "Plan": "unrolled.train.schedule",
    "decay_scale": "unrolled.train.schedule",
    "rate_scale": "unrolled.train.schedule",
    "warmup_scale": "unrolled.train.schedule",
    "TrainSettings": "unrolled.train.settings",
    "TensorBoardWriter": "unrolled.train.tensorboard",
    "tensorboard_installed": "unrolled.train.tensorboard",
    "Carry": "unrolled.train.tree",
    "detach": "unrolled.train.tree",
    "fill": "unrolled.train.tree",
    "leaves": "unrolled.train.tree",
    "map_tensors": "unrolled.train.tree",
    "named_weights": "unrolled.train.weights",
    "restore": "unrolled.train.weights",
    "snapshot": "unrolled.train.weights",
}

__all__ = [
    "POINTER",
    "BatchSource",
    "Carry",
    "Checkpoint",
    "Checkpoints",
    "Evaluation",
    "Interrupted",
    "LossOutput",
    "MetricsFile",
    "Objective",
    "Observer",
    "Plan",
    "ProgressBar",
    "Start",
    "Step",
    "TensorBoardWriter",
    "TrainResult",
    "TrainSettings",
    "Trainer",
    "accuracy",
    "bits_per_character",
    "check_resumable",
    "confusion_matrix",
    "decay_scale",
    "detach",
    "fill",
    "leaves",
    "macro_f1",
    "mae",
    "map_tensors",
    "mse",
    "named_weights",
    "perplexity",
    "rate_scale",
    "restore",
    "seeded",
    "snapshot",
    "tensorboard_installed",
    "thread_count",
    "warmup_scale",
]


def __getattr__(name: str) -> object:
    """Load the part that `name` lives in (PEP 562): metrics need no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'unrolled.train' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
