"""Options that tasks share: which run is made, which network, how text becomes numbers."""

# `option` is `field` with a help text, so calling it for a default is what dataclasses want.
# ruff: noqa: RUF009

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.tasks.options.durations import parse_interval

MEMORIES = ("full", "low")
PRECISIONS = ("float32", "bfloat16", "float16")
UNITS = ("char", "byte", "word", "subword", "symbol")


def option(default: Any, help: str, **metadata: Any) -> Any:  # noqa: A002
    """A dataclass field with a help text; `choices` may name the values there are.

    `later`: runs made before the option existed lack it, and are read with its default.
    """
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(kw_only=True)
class Common:
    """Which run: its data, its folder, its limits. The same for every task."""

    data: Path | None = option(None, "training file or folder", positional=True)
    more: tuple[Path, ...] = option((), "further training files, read after the first (language)", positional=True)
    out: Path | None = option(None, "run folder to write; default: the next free runs/TASK-NNN")
    valid: Path | None = option(None, "validation file; default: a part of the training data is held out")
    test: Path | None = option(None, "test file, measured once at the end")
    seed: int = option(0, "seed of the starting weights, the order of the data and dropout")
    max_time: float | None = option(None, "time limit, validation included", unit="seconds")
    epochs: int | None = option(None, "passes over the training part; default: the task's own number")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    threads: int | None = option(None, "processor threads; default: what torch chooses")
    resume: bool = option(False, "go on with the run in --out; only time, epochs, device and threads may change")
    from_run: Path | None = option(None, "start from another run's weights", name="from")
    group: str | None = option(None, "column whose rows with one value never part between training and validation")
    cache: Path | None = option(
        None, "folder for large text, encoded once; default: ~/.cache/unrolled/data for 64 MB or more"
    )
    checkpoint_every: str = option("1m", "time or steps between two checkpoints, such as 5m or 500steps", later=True)
    keep: int = option(2, "checkpoints kept", later=True)
    memory: str = option(
        "full", "low: steps are computed twice instead of kept, for long sequences", choices=MEMORIES, later=True
    )
    precision: str = option("float32", "type of the products, where the device has it", choices=PRECISIONS, later=True)
    skip_bad: bool = option(False, "leave rows out that cannot be used, and count them, instead of stopping")

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ArgumentError(f"seed={self.seed} must be at least 0; give another value")
        if self.keep < 1:
            raise ArgumentError(f"keep={self.keep} would keep no checkpoint; give at least 1")
        for name, known in (("memory", MEMORIES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ArgumentError(f"{name} is {getattr(self, name)!r}; give {' or '.join(known)}")
        parse_interval(self.checkpoint_every)


RESUMABLE = ("max_time", "epochs", "device", "threads", "resume", "checkpoint_every", "keep", "cache")


@dataclass(kw_only=True)
class NetworkOptions:
    """Which recurrent network and how it is trained. Tasks override the defaults."""

    cell: str = option("lstm", "a cell's name (see `unrolled cells`) or file.py:Name for one of your own")
    hidden: int = option(128, "hidden units of a layer")
    layers: int = option(1, "recurrent layers")
    chrono: int | None = option(None, "longest dependency in steps: the forget gates start so that it is remembered")
    embedding: int = option(128, "numbers that stand for one unit of text")
    input_dropout: float | None = option(
        None, "share of the input dropped; default: 0.5 where words are classified, 0.1 for characters, else 0"
    )
    dropout: float = option(0.0, "share dropped between the layers and before the output")
    variational: bool = option(False, "the same dropout mask at every step of a sequence")
    zoneout: float = option(0.0, "share of the state kept from the step before")
    recurrent_dropout: float = option(0.0, "share of the state's update dropped")
    weight_drop: float = option(0.0, "share of the recurrent weights dropped")
    layer_norm: bool = option(False, "normalise each layer's output")
    batch_size: int = option(32, "sequences in a batch")
    optimiser: str = option("adamw", "how the weights are moved", choices=("adamw", "sgd"))
    learning_rate: float = option(1e-3, "highest learning rate")
    weight_decay: float = option(0.01, "weight decay")
    warmup: float = option(0.1, "share of the steps in which the learning rate rises")
    decay: str = option("cosine", "how the learning rate falls", choices=("cosine", "linear", "constant"))
    clip: float = option(1.0, "largest norm of the gradient")
    bad_steps: int = option(
        5, "steps in a row that are passed over because their loss or gradient is not finite", later=True
    )
    ema: float = option(0.0, "factor of a moving average of the weights, which is then what is kept; 0: none")
    patience: int = option(0, "evaluations without gain before stopping early; 0: never")
    settle: float = option(0.0, "share of the training before which the best weights are provisional")
    validation: float = option(
        0.1, "share of the data held out where no validation file is given; of text at most 500,000 characters"
    )


@dataclass(kw_only=True)
class TextOptions:
    """How text becomes numbers."""

    units: str = option("word", "what one step reads", choices=UNITS)
    vocabulary_size: int | None = option(None, "most units known (subword: exactly so many are learnt)")
    minimum: int = option(1, "units seen less often are unknown")
    lowercase: bool | None = option(None, "read capital letters as small ones; default: where words are classified")


@dataclass(kw_only=True)
class SequenceOptions(TextOptions, NetworkOptions):
    """What the tasks with one answer a sequence have in common."""

    convolutions: int = option(0, "layers of convolution in front of the recurrent ones")
    kernel: int = option(9, "steps that a convolution sees, an odd number")
    stride: int = option(1, "steps that each convolution makes one of")
    bidirectional: bool = option(True, "read each sequence in both directions")
    pooling: str = option("max", "how the steps become one vector", choices=("last", "mean", "max", "attention"))
    word_dropout: float | None = option(
        None, "share of the units read as unknown while training; default: 0.1 where words are classified, else 0"
    )
    vectors: Path | None = option(None, "pretrained word vectors (GloVe or fastText text format)")
    freeze_vectors: bool = option(False, "leave the pretrained vectors as they are")


_COUNTS = ("hidden", "layers", "embedding", "batch_size", "window", "vocabulary_size", "minimum", "kernel", "stride")


def check_counts(options: object) -> None:
    """ArgumentError where a size is below 1, before any data is read."""
    for name in _COUNTS:
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise ArgumentError(f"{name}={value} must be at least 1; give a larger number or leave it out")


def changed(options: object, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass that are not at their default."""
    found: dict[str, Any] = {}
    for entry in fields(options):  # type: ignore[arg-type]
        value = getattr(options, entry.name)
        if entry.name not in without and value != entry.default:
            found[entry.name] = value
    return found
