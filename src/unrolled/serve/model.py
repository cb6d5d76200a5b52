"""A run that is served: its name, what clients must know of it, its answers and its streams."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import ArgumentError, DataError
from unrolled.serve.answers import CHOICES, OPTIONS, Options, Range, Row, answers, output_of
from unrolled.serve.intake import Intake
from unrolled.serve.kinds import intake_of
from unrolled.streams import Stream

if TYPE_CHECKING:
    from unrolled.tasks.model import TaskModel

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Served:
    """One run behind the server."""

    name: str
    model: TaskModel[Any] = field(repr=False)
    intake: Intake = field(repr=False)
    no_stream: str | None
    """Why there are no streams; None where there are."""

    @classmethod
    def of(cls, name: str, model: TaskModel[Any]) -> Served:
        """A model under a name; raises ArgumentError for a name that cannot stand in an address."""
        if not _NAME.fullmatch(name):
            raise ArgumentError(
                f"{name!r} is no name for an address; give one of letters, digits, dots and hyphens: NAME=RUN"
            )
        return cls(name, model, intake_of(model), _why_not(model))

    @classmethod
    def open(cls, name: str, run: Path) -> Served:
        """Load a run, executing nothing from it. Raises RunError and ArgumentError."""
        from unrolled.tasks import open_run

        return cls.of(name, open_run(run))

    def answers(self, inputs: Sequence[Any], options: Options) -> list[Row]:
        """An answer for each input."""
        return answers(self.model, inputs, options)

    def stream(self, state: bytes | None = None, choices: Mapping[str, Any] | None = None) -> Stream:
        """A stream from the beginning, or from where a state was taken. Raises ArgumentError."""
        return _stream(self.model, state, choices or {})

    def describe(self) -> Row:
        """What a page or a client must know."""
        plan = self.model.plan
        return {
            "name": self.name,
            "task": self.model.task,
            "input": self.intake.describe(),
            "output": output_of(self.model),
            "options": _ranges(OPTIONS.get(self.model.task, {})),
            "choices": _ranges(CHOICES.get(self.model.task, {})) if self.no_stream is None else {},
            "streams": self.no_stream is None,
            "why_not": self.no_stream,
            "network": {
                "cell": plan.program.name,
                "layers": plan.layers,
                "hidden": plan.hidden,
                "inputs": plan.inputs,
                "outputs": plan.outputs,
                "bidirectional": plan.bidirectional,
                "parameters": self.model.parameters,
            },
            "links": {
                "predict": f"/models/{self.name}/predict",
                "drawing": f"/models/{self.name}/drawing",
                "sessions": f"/models/{self.name}/sessions" if self.no_stream is None else None,
                "stream": f"/models/{self.name}/stream" if self.no_stream is None else None,
            },
        }

    def drawing(self, view: str, theme: str, steps: int | None) -> str:
        """The network as SVG, in which nothing can run. Raises ArgumentError."""
        from unrolled.inspect.draw import draw
        from unrolled.inspect.draw.svg import to_svg

        return to_svg(draw(self.model, view, steps=steps, name=self.model.task), theme)


def _ranges(table: Mapping[str, Range]) -> Row:
    return {name: {"kind": kind.__name__, "least": least, "most": most} for name, (kind, least, most) in table.items()}


def _why_not(model: TaskModel[Any]) -> str | None:
    try:
        # A run that reads the calendar needs to know when a stream begins; any time will do to see whether it can.
        calendar = model.task == "forecast" and getattr(model, "reading").calendar  # noqa: B009 - of this task alone
        _stream(model, None, {"start": "2000-01-01 00:00"} if calendar else {})
    except ArgumentError as error:
        return str(error)
    return None


def _stream(model: TaskModel[Any], state: bytes | None, choices: Mapping[str, Any]) -> Stream:
    try:
        return model.stream(state, **choices)
    except DataError as error:
        raise ArgumentError(str(error)) from None


def open_models(runs: Sequence[str]) -> dict[str, Served]:
    """The runs of a command line, each `RUN` or `NAME=RUN`, by name. Raises ArgumentError and RunError."""
    found: dict[str, Served] = {}
    for given in runs:
        named = re.fullmatch(r"([^/\\=]+)=(.+)", given)
        path = Path(named[2] if named else given)
        name = named[1] if named else path.resolve().name
        if name in found:
            raise ArgumentError(f"two runs are called {name!r}; name them apart: NAME=RUN")
        found[name] = Served.open(name, path)
    return found
