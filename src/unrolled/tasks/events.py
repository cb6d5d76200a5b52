"""What is known before training starts, as data; `str(event)` is its line for a reader."""

from __future__ import annotations

from dataclasses import dataclass

from unrolled.data.large import Progress

_SHOWN = 20


@dataclass(frozen=True)
class Event:
    """Something a user should know; not an error."""


@dataclass(frozen=True)
class Note(Event):
    """A plain sentence."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Encoding(Event):
    """How far the encoding of large data has come; it is told about five times a second."""

    progress: Progress

    def __str__(self) -> str:
        return str(self.progress)


@dataclass(frozen=True)
class Split(Event):
    """How many examples (language: units) each part has and where the validation part comes from."""

    train: int
    valid: int
    test: int
    unit: str
    how: str

    def __str__(self) -> str:
        test = f", {self.test:,} for the test" if self.test else ""
        valid = f"{self.valid:,} to validate on ({self.how})" if self.valid else "none held out to validate on"
        return f"{self.train:,} {self.unit} to train on, {valid}{test}"


@dataclass(frozen=True)
class Skipped(Event):
    """What `--skip-bad` left out: the sentence of each row or file."""

    sentences: tuple[str, ...]

    def __str__(self) -> str:
        shown = [f"  {sentence}" for sentence in self.sentences[:_SHOWN]]
        more = len(self.sentences) - _SHOWN
        rest = [f"  and {more:,} more"] if more > 0 else []
        return "\n".join([f"warning: {len(self.sentences):,} left out because they cannot be used:", *shown, *rest])


@dataclass(frozen=True)
class Duplicates(Event):
    """A warning: rows of `part` that also occur in the training part flatter its score."""

    part: str
    rows: int
    total: int

    def __str__(self) -> str:
        return (
            f"warning: {self.rows:,} of the {self.total:,} {self.part} rows also occur in the training part, "
            f"so the {self.part} score flatters the model"
        )


@dataclass(frozen=True)
class Estimate(Event):
    """Parameters, memory in bytes and time in seconds of one epoch, from a trial step; `steps` an epoch."""

    parameters: int
    memory: int
    seconds: float
    steps: int

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters, about {self.memory / 2**20:,.0f} MiB for training, "
            f"about {clock(self.seconds)} an epoch of {self.steps:,} steps"
        )


@dataclass(frozen=True)
class Started(Event):
    """The run folder is there and training begins."""

    run: str

    def __str__(self) -> str:
        return f"run folder: {self.run}"


def clock(seconds: float) -> str:
    """Seconds as a reader says them: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 1)} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
