"""The skeleton that every task shares: read one task, know all.

A task is one class. Its class methods read files and build a network; its instance is the network together with what
turns a user's data into its input and its output into an answer. `tasks.training` drives it, `tasks.run` saves it.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from unrolled.data import Vocabulary
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.streams.running import Running, saved_choices
from unrolled.tasks.events import Note
from unrolled.tasks.network import NetworkPlan
from unrolled.tasks.options import Common

if TYPE_CHECKING:
    import torch
    from torch import nn

    from unrolled.train import BatchSource, Carry, LossOutput

E = TypeVar("E", bound=Sized)


@dataclass(frozen=True)
class Parts(Generic[E]):
    """The examples of a training: what is learnt from, what decides which weights are best, what measures them.

    `how` says in words where the validation part comes from, `remarks` how the file was read where that is a guess,
    `skipped` what was left out because it cannot be used.
    """

    train: E
    valid: E | None = None
    test: E | None = None
    how: str = ""
    remarks: tuple[str, ...] = ()
    skipped: tuple[DataError, ...] = ()


@dataclass(frozen=True)
class Conclusion:
    """What a task says at the end of a training beside its metrics: data for the JSON result, lines for a reader."""

    data: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


class TaskModel(ABC, Generic[E]):
    """A network for one task. `E` is the task's kind of examples: texts, sequences with labels, ..."""

    task: ClassVar[str]
    metric: ClassVar[str] = "loss"
    """The validation metric that decides which weights are the best."""
    unit: ClassVar[str] = "sequences"
    """What the examples are counted in."""
    pace: ClassVar[str] = ""
    """What the speed of training is told in, where the loss is a mean over something else than `unit`."""
    overfits: ClassVar[bool] = False
    """Whether `epochs` is also the most under a time limit."""

    large: ClassVar[bool] = False
    """Whether data larger than memory is read through the cache, and several files one after another."""

    def __init__(self, plan: NetworkPlan, vocabulary: Vocabulary | None, module: nn.Module) -> None:
        self.plan = plan
        self.vocabulary = vocabulary
        self.module = module
        self.notes: list[Note] = []
        self._identity: tuple[Any, str] = (None, "")

    @classmethod
    @abstractmethod
    def read(cls, path: Path, options: Any, common: Common) -> Parts[E]:
        """The training file and those that `common` names, in memory. Raises DataError; writes nothing."""

    @classmethod
    def settle(cls, options: Any, parts: Parts[E]) -> Any:
        """The options with the defaults that depend on the data."""
        return options

    @classmethod
    @abstractmethod
    def build(cls, parts: Parts[E], options: Any, start: TaskModel[Any] | None = None) -> Self:
        """A network with fresh weights; vocabulary and scales are learnt on the training part alone.

        `start`, the model of another run, lends its vocabulary and its sizes.
        """

    @classmethod
    @abstractmethod
    def restore(cls, plan: NetworkPlan, schema: dict[str, Any], vocabulary: Vocabulary | None) -> Self:
        """The same from a run's JSON, weights still fresh. Raises RunError where the schema was changed or damaged."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """What `restore` needs besides network and vocabulary, as plain JSON."""

    @abstractmethod
    def source(self, examples: E, options: Any, seed: int) -> BatchSource:
        """Training batches."""

    @abstractmethod
    def loss(self, batch: Any, carry: Carry) -> LossOutput:
        """Mean loss of a batch, its number of targets, and the recurrent state to carry on."""

    @abstractmethod
    def measure(self, examples: E) -> dict[str, float]:
        """Metrics on a part, `loss` among them."""

    def watch(self, examples: E) -> dict[str, float]:
        """The same while training goes on, where measuring in full would cost too much of its time."""
        return self.measure(examples)

    @abstractmethod
    def read_part(self, path: Path) -> E:
        """The examples of one file that is laid out as the training file was. Raises DataError."""

    @abstractmethod
    def keys(self, examples: E) -> list[Hashable]:
        """What makes two examples the same for finding those that are in two parts: their input."""

    def fingerprint(self, examples: E) -> str:
        """SHA-256 of a part: whether a resumed run still reads the same data."""
        return digest(self.keys(examples))

    def conclude(self, parts: Parts[E], run: Path) -> Conclusion:
        """What there is to say and to draw when a training has ended; pictures go into the run folder."""
        return Conclusion()

    def epochs(self, steps: int) -> int:
        """Passes over the training part, of `steps` steps each, where nobody says otherwise."""
        return epochs_for(3000, steps, fewest=10)

    def count(self, examples: E) -> int:
        """How many there are, in `unit`."""
        return len(examples)

    def evaluate(self, path: Path) -> dict[str, Any]:
        """Metrics on a file."""
        return dict(self.measure(self.read_part(path)))

    def stream(self, state: bytes | None = None, **choices: Any) -> Running:
        """A sequence read part by part in constant memory, from its beginning or from a saved `state`; see `Stream`.

        Raises ArgumentError for a run that needs the whole input, for an unknown choice, and for a state that is
        damaged or another run's.
        """
        if state is None:
            return self._stream(choices)
        found = self._stream(saved_choices(state, self.task, self.identity(), choices))
        found.load(state)
        return found

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        raise ArgumentError(
            f"a run of {self.task} reads the whole input before it answers, so it has no stream; use predict"
        )

    def identity(self) -> str:
        """SHA-256 of task, vocabulary and weights, by which a stream's saved state knows its run."""
        from unrolled.tasks.streams.identity import identity, place

        now = place(self.module)
        if now != self._identity[0]:
            self._identity = now, identity(self)
        return self._identity[1]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    def activations(self, batch: Any) -> int:
        """About how many numbers a training step on `batch` keeps for its backward pass."""
        inputs = batch[0]
        steps = int(inputs.shape[0]) * int(inputs.shape[1])
        directions = 1 + self.plan.bidirectional
        a_step = (len(self.plan.program.gates) + len(self.plan.program.state) + 2) * self.plan.hidden
        return steps * (self.plan.inputs + directions * self.plan.layers * a_step)


def digest(values: Sequence[object]) -> str:
    """SHA-256 of what `repr` says of the values."""
    found = hashlib.sha256()
    for value in values:
        found.update(repr(value).encode("utf-8", "backslashreplace") + b"\0")
    return found.hexdigest()


def epochs_for(wanted: int, steps: int, *, fewest: int) -> int:
    """So many epochs that `wanted` steps are taken: at least `fewest`, and never more than 200 of a small set."""
    return max(fewest, min(200, -(-wanted // steps)))


def device_of(name: str) -> torch.device:
    """The device that `--device` names; raises ArgumentError."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ArgumentError(f"device is {name!r}, which torch does not know; give auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise ArgumentError(f"device is {name!r}, but torch sees {there} CUDA devices here; give cpu or auto")
    return device


def entry(schema: dict[str, Any], name: str, *kinds: type) -> Any:
    """A value of a run's schema of one of these types; raises RunError."""
    if name not in schema or not isinstance(schema[name], kinds):
        raise RunError(f"the data's schema has no usable {name!r}")
    return schema[name]


def take_weights(model: TaskModel[Any], start: TaskModel[Any]) -> list[str]:
    """Copy from `start` every weight that has a namesake of equal shape; the names of those that start afresh."""
    import torch

    # A classifier may start from a language model, whose embedding has the longer name.
    there = {name.replace("embedding.", "embed."): p for name, p in start.module.named_parameters()}
    there |= dict(start.module.named_parameters())
    fresh = []
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            if name in there and there[name].shape == parameter.shape:
                parameter.copy_(there[name])
            else:
                fresh.append(name)
    return fresh
