"""A stream put together from its three parts: input -> network -> reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from unrolled.errors import ArgumentError
from unrolled.streams.protocol import Answer, Input, Network, Reader
from unrolled.streams.saved import Kept, damaged, pack, unpack

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Steps that the network reads at once, so that a long part costs no more memory than a short one.
AT_ONCE = 512

C = TypeVar("C", bound="DataclassInstance")


@dataclass(frozen=True)
class Origin:
    """Whose stream it is: the task, how to name the run, and the choices it was opened with, as plain JSON."""

    task: str
    fingerprint: Callable[[], str]
    choices: Mapping[str, Any] = field(default_factory=dict)


class Running:
    """A `Stream`: steps come out of the input, go through the network, and the reader says what they mean."""

    def __init__(self, origin: Origin, source: Input, network: Network, reader: Reader) -> None:
        self.origin = origin
        self.source = source
        self.network = network
        self.reader = reader
        self._steps = 0
        self._over = False

    @property
    def steps(self) -> int:
        """How many steps the network has read."""
        return self._steps

    def push(self, part: Any) -> Answer:
        """Read the next part: what is known so far. Raises ArgumentError or DataError, and then nothing was read."""
        self._check_open()
        self._read(self.source.push(part))
        return self._answer()

    def finish(self) -> Answer:
        """Nothing follows: the answer that `predict` gives for the whole input."""
        self._check_open()
        self._read(self.source.finish())
        self._rest()
        self._over = True
        return self._answer()

    def state(self) -> bytes:
        """All that is needed to go on elsewhere, as safetensors with a JSON header."""
        header = {
            "task": self.origin.task,
            "run": self.origin.fingerprint(),
            "choices": dict(self.origin.choices),
            "steps": self._steps,
            "over": self._over,
        }
        parts = {"input": self.source.save(), "network": self.network.save(), "answer": self.reader.save()}
        return pack(header, Kept.join(**parts))

    def load(self, state: bytes) -> None:
        """Go on where `state` was called; raises ArgumentError for the state of another run or a damaged one."""
        header, kept = unpack(state)
        check_origin(header, self.origin.task, self.origin.fingerprint())
        steps, over = Kept(**header).count("steps"), Kept(**header).value("over", bool)
        self.source.load(kept.within("input"))
        self.network.load(kept.within("network"))
        self.reader.load(kept.within("answer"))
        self._steps, self._over = steps, over

    def _check_open(self) -> None:
        if self._over:
            raise ArgumentError("the stream is finished, so nothing more can be read; open another stream")

    def _read(self, steps: Any) -> None:
        count = len(steps)
        if count == 1:  # the usual case, in which a copy of a slice would be felt
            self._take(steps, self.network.read(steps))
        else:
            for start in range(0, count, AT_ONCE):
                some = steps[start : start + AT_ONCE]
                self._take(some, self.network.read(some))
        self._steps += count

    def _take(self, steps: Any, outputs: Any) -> None:
        if len(outputs):  # none where the network waits for more
            self.reader.take(steps, outputs)

    def _rest(self) -> None:
        """What the network held back."""
        self._take(None, self.network.finish())

    def _answer(self) -> Answer:
        found = self.reader.answer(final=self._over)
        found["steps"] = self._steps
        return found


def check_origin(header: Mapping[str, Any], task: str, run: str) -> None:
    """ArgumentError unless the state with this header was saved by a stream of this run."""
    if header.get("task") != task or header.get("run") != run:
        raise ArgumentError(
            f"the state was saved by a stream of another run, of the task {header.get('task')!r}; "
            "open the run that it is from, or begin a new stream"
        )


def saved_choices(state: bytes, task: str, run: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a stream that goes on, which are those of its beginning; those that no state holds are given anew.

    Raises ArgumentError where others are given, and for a state of another run.
    """
    header, _ = unpack(state)
    check_origin(header, task, run)
    saved = header.get("choices")
    if not isinstance(saved, dict):
        raise damaged("it does not say how the stream was opened")
    for name, value in given.items():
        if name in saved and saved[name] != value:
            raise ArgumentError(
                f"{name}={value!r} was given, and the stream was opened with {name}={saved[name]!r}; leave it out"
            )
    return {**given, **saved}


def chosen(kind: type[C], choices: Mapping[str, Any]) -> C:
    """The choices as an object of their class; raises ArgumentError for a name that it has not."""
    names = [entry.name for entry in fields(kind)]
    for name in choices:
        if name not in names:
            known = ", ".join(names) or "none"
            raise ArgumentError(f"{name!r} is no choice of this stream, which has: {known}; leave it out")
    return kind(**choices)


@dataclass(frozen=True)
class NoChoices:
    """Of a stream that can be opened in one way alone."""


class NoNetwork:
    """Hands the steps on, where the reader itself asks a network about the last of them."""

    def read(self, steps: Any) -> Any:
        return steps

    def finish(self) -> Any:
        return ()

    def fork(self) -> NoNetwork:
        return self

    def save(self) -> Kept:
        return Kept()

    def load(self, kept: Kept) -> None:
        """It remembers nothing."""
