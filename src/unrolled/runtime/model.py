"""What every task's model in the runtime is made from, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from unrolled.data import Vocabulary
from unrolled.errors import ArgumentError
from unrolled.runtime.recurrent import Recurrent, Shape
from unrolled.runtime.weights import Weights
from unrolled.streams.running import Origin, Running, saved_choices
from unrolled.streams.saved import fingerprint
from unrolled.tasks.network import NetworkPlan


@dataclass(frozen=True)
class Run:
    """A run folder, read: what it says of its network and its data, and its numbers."""

    task: str
    plan: NetworkPlan
    schema: dict[str, Any]
    vocabulary: Vocabulary | None
    weights: Weights
    engine: str = "auto"

    def shape(self) -> Shape:
        """That of the recurrent layers that the plan describes."""
        plan = self.plan
        return Shape(
            plan.program,
            plan.recurrent_inputs,
            plan.hidden,
            plan.layers,
            plan.bidirectional,
            plan.regularisation,
            self.engine,
        )

    def recurrent(self, name: str = "recurrent") -> Recurrent:
        """The layers of the plan, whose weights have that name."""
        return Recurrent(self.shape(), self.weights.under(name))

    @cached_property
    def identity(self) -> str:
        """SHA-256 of task, vocabulary and weights, by which a stream's saved state knows its run."""
        units = None if self.vocabulary is None else self.vocabulary.to_json()
        return fingerprint(self.task, units, self.weights.arrays)


class Model(ABC):
    """A trained model: `predict` answers for whole inputs, `stream` while one is arriving."""

    task: ClassVar[str]

    def __init__(self, run: Run) -> None:
        self.run = run
        self.plan = run.plan

    @classmethod
    @abstractmethod
    def restore(cls, run: Run) -> Callable[[], Self]:
        """Check what config.json says, and give what makes the model of the weights; both may raise RunError."""

    @abstractmethod
    def predict(self, inputs: Any) -> Any:
        """An answer for each of the inputs."""

    @abstractmethod
    def read(self, path: Path) -> Any:
        """What `predict` takes, from a file that is laid out as the training file was. Raises DataError."""

    @abstractmethod
    def answers(self, inputs: Any) -> list[dict[str, Any]]:
        """What `predict` says, and how sure it is, as plain JSON."""

    def stream(self, state: bytes | None = None, **choices: Any) -> Running:
        """A sequence read part by part in constant memory, from its beginning or from a saved `state`.

        Raises ArgumentError for a run that needs the whole input, for an unknown choice, and for a state that is
        damaged or another run's.
        """
        if state is None:
            return self._stream(choices)
        found = self._stream(saved_choices(state, self.task, self.run.identity, choices))
        found.load(state)
        return found

    def _stream(self, choices: Mapping[str, Any]) -> Running:
        raise ArgumentError(
            f"a run of {self.task} reads the whole input before it answers, so it has no stream; use predict"
        )

    def origin(self, choices: Mapping[str, Any] | None = None) -> Origin:
        """By what a stream's state knows where it is from."""
        return Origin(self.task, lambda: self.run.identity, choices or {})
