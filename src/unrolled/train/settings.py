"""The choices of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from unrolled.errors import ArgumentError

Decay = Literal["cosine", "linear", "constant"]
PrecisionName = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[PrecisionName, ...] = ("float32", "bfloat16", "float16")

UNPLANNED_WARMUP = 100

# What may differ when a run is resumed; all the others decide the numbers.
RESUMABLE = frozenset({"max_time", "epochs", "total_steps", "threads", "checkpoint_every", "checkpoint_steps", "keep"})


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How to train: optimiser, schedule, length of the run, when to look, when to save.

    One of `epochs`, `max_time` (seconds) and `total_steps` says when to end; the earliest counts. Raises ArgumentError
    where a value is out of range.
    """

    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    """Decoupled for adamw, added to the gradient for sgd; matrices only, never biases and gains."""
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9
    warmup: float = 100
    """Steps in which the learning rate rises from zero; below one, a share of all steps (under `max_time`: of at most
    `UNPLANNED_WARMUP` steps, because it begins before their number is known)."""
    decay: Decay = "cosine"
    final_fraction: float = 0.05
    """Learning rate of the last step as a part of the highest."""
    clip: float | None = 1.0
    """Longest allowed gradient (2-norm over all parameters)."""
    bad_steps: int = 5
    """Steps in a row that are passed over because their loss or gradient is not finite, before training stops."""
    precision: PrecisionName = "float32"
    """Type of the products; weights and optimiser stay in float32."""
    epochs: int | None = None
    max_time: float | None = None
    total_steps: int | None = None
    metric: str = "loss"
    mode: Literal["min", "max"] | None = None
    """Which way `metric` is better; None: known from its name."""
    patience: int | None = None
    """Evaluations without a better `metric` before training stops."""
    settle: float = 0.0
    """Share of the steps before which the best evaluation is provisional: the first one after it takes its place. On a
    small validation part an early lucky one would otherwise win over weights that the whole schedule has trained."""
    evaluate_every: int | None = None
    """Steps; None: once an epoch, under `max_time` as often as a tenth of the time allows."""
    checkpoint_every: float | None = 60.0
    """Seconds."""
    checkpoint_steps: int | None = None
    keep: int = 2
    """Checkpoints kept."""
    seed: int = 0
    threads: int | None = None
    ema: float | None = None
    """Factor of an exponential moving average of the weights, which then is what is evaluated and kept."""

    def __post_init__(self) -> None:
        if self.optimiser not in ("adamw", "sgd"):
            raise ArgumentError(f"optimiser={self.optimiser!r} is not known; choose adamw or sgd")
        if self.decay not in ("cosine", "linear", "constant"):
            raise ArgumentError(f"decay={self.decay!r} is not known; choose cosine, linear or constant")
        if self.precision not in PRECISIONS:
            raise ArgumentError(f"precision={self.precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
        if self.epochs is None and self.max_time is None and self.total_steps is None:
            raise ArgumentError("nothing says when training ends; give epochs, max_time or total_steps")
        self._check_positive()
        self._check_ranges()

    def _check_positive(self) -> None:
        names = ("learning_rate", "clip", "epochs", "max_time", "total_steps", "patience", "evaluate_every")
        for name in (*names, "checkpoint_every", "checkpoint_steps", "keep", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(f"{name}={value} must be above zero; give a larger number or leave it out")

    def _check_ranges(self) -> None:
        upper = {
            "final_fraction": 1.0,
            "settle": 1.0,
            "momentum": 1.0,
            "ema": 1.0,
            "weight_decay": None,
            "bad_steps": None,
            "warmup": None,
            "seed": None,
        }
        for name, most in upper.items():
            value = getattr(self, name)
            if value is not None and not (value >= 0 and (most is None or value <= most)):
                limits = "at least 0" if most is None else f"from 0 to {most:g}"
                raise ArgumentError(f"{name}={value} must be {limits}; give another value")

    @property
    def larger_is_better(self) -> bool:
        """Whether `metric` is to rise."""
        return self.mode == "max" if self.mode is not None else self.metric in RISING

    def fixed(self) -> dict[str, Any]:
        """The choices that a resumed run must share."""
        return {name: value for name, value in asdict(self).items() if name not in RESUMABLE}


RISING = frozenset(
    ("accuracy", "macro_f1", "span_f1", "bleu", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "chrf", "exact_match")
)
