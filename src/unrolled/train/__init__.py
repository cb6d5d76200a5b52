"""Training: the loop, its optimisers and schedules, checkpoints, metrics and what can watch it."""

from __future__ import annotations

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
