"""What a stream is, and the three parts that one is made of. No torch: the small runtime has the same streams."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from unrolled.data.arrays import Numbers
from unrolled.streams.saved import Kept

Answer = dict[str, Any]


@runtime_checkable
class Stream(Protocol):
    """One sequence that is still arriving, read part by part in constant memory.

    An answer is plain JSON; docs/streaming.md lists its keys for each task, of which `steps` is in all of them.
    """

    @property
    def steps(self) -> int:
        """How many steps the network has read: units of text, rows, words, frames."""
        ...

    def push(self, part: Any) -> Answer:
        """Read the next part, text or an array (N, ...) or a list like one: what is known so far."""
        ...

    def finish(self) -> Answer:
        """Nothing follows: the answer that `predict` gives for the whole input."""
        ...

    def state(self) -> bytes:
        """All that is needed to go on elsewhere, as safetensors; `model.stream(state)` goes on."""
        ...


class Part(Protocol):
    """A part of a stream, which remembers something from one push to the next."""

    def save(self) -> Kept:
        """What it remembers: arrays, and values of plain JSON."""
        ...

    def load(self, kept: Kept) -> None:
        """Go on where `save` was called; raises ArgumentError where that does not fit."""
        ...


class Input(Part, Protocol):
    """Turns what arrives into the steps that a network reads."""

    def push(self, part: Any) -> Any:
        """The steps that are certain now, something with a length and slices; raises ArgumentError for bad input."""
        ...

    def finish(self) -> Any:
        """Those that waited for more."""
        ...


class Network(Part, Protocol):
    """A trained network with its recurrent state: what torch, or NumPy with compiled kernels, puts under a stream."""

    def read(self, steps: Any) -> Numbers:
        """Outputs (T, O) of the next steps, as far as they are certain."""
        ...

    def finish(self) -> Numbers:
        """Those that waited for more."""
        ...

    def fork(self) -> Network:
        """Another with the same weights that goes on from the same state."""
        ...


class Reader(Part, Protocol):
    """Makes answers of what a network puts out."""

    def take(self, steps: Any, outputs: Numbers) -> None:
        """The next steps and outputs (T, O)."""
        ...

    def answer(self, *, final: bool) -> Answer:
        """What is known now, said once after each part; `final` where nothing follows."""
        ...
