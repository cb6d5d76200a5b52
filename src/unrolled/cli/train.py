"""`unrolled train TASK FILE`: one command a task, its options read from the task's dataclass."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from unrolled.cli.commands import COMMANDS, block
from unrolled.cli.options import with_options
from unrolled.cli.output import Output
from unrolled.errors import UsageError
from unrolled.tasks import TASKS, Common, NetworkOptions, Task

if TYPE_CHECKING:
    from unrolled.tasks import RunResult
    from unrolled.tasks.events import Event

_RUN, _TASK = Group("The run", sort_key=2), Group("The task", sort_key=3)
Last = Annotated[Output, Parameter(group=Group("What is printed", sort_key=6))]
GROUPS = {
    "Common": _RUN,
    "TextOptions": Group("Text", sort_key=4),
    "NetworkOptions": Group("The network and its training", sort_key=5),
    "SequenceOptions": _TASK,
    **{task.options.__name__: _TASK for task in TASKS.values()},
}

app = App(
    name="train",
    help=COMMANDS["train"].summary,
    usage=COMMANDS["train"].usage("train"),
    help_epilogue=block(COMMANDS["train"].examples),
)


Gradients = Annotated[
    int | None,
    Parameter(help="measure the gradient through time every so many steps and write gradients.jsonl", group=_RUN),
]


def fit(task: Task, common: Common, options: NetworkOptions, output: Output, gradients: int | None = None) -> RunResult:
    """Train with progress on standard error, unless that is to be quiet."""
    from unrolled.cli.encoding import EncodingLine
    from unrolled.inspect import GradientObserver
    from unrolled.tasks.events import Encoding, Started
    from unrolled.train import Observer, ProgressBar

    pace = task.model.pace or task.model.unit
    watching: list[Observer] = [] if output.quiet else [ProgressBar(pace, task.model.metric)]
    looking = None if gradients is None else GradientObserver(gradients, tell=output.note)
    watching += [] if looking is None else [looking]

    encoding = EncodingLine()

    def notify(event: Event) -> None:
        if isinstance(event, Encoding):
            encoding.show(event, output)
            return
        encoding.clear()
        if looking is not None and isinstance(event, Started):
            looking.path = Path(event.run) / "gradients.jsonl"
        output.note(str(event))

    command = shlex.join(["unrolled", *sys.argv[1:]])
    return task.train(options, common, watching, notify, command)


def report(result: RunResult, output: Output, more: Mapping[str, object] | None = None) -> None:
    """How training ended and where the run lies; `more` goes into the JSON."""
    from unrolled.tasks.run import CURVE

    run, training = result.run, result.training
    picture = run / CURVE if run is not None and (run / CURVE).exists() else None
    data = {
        "run": run,
        "task": result.model.task,
        "stopped": training.stopped,
        "steps": training.step,
        "best_step": training.best_step,
        "seconds": training.seconds,
        "bad_steps": training.bad_steps,
        "parameters": result.model.parameters,
        "valid": result.valid,
        "test": result.test,
        "picture": picture,
        **result.conclusion.data,
        **(more or {}),
    }
    parts = {"validation": result.valid, "test": result.test}
    lines = [f"{name:<10}  {_metrics(metrics)}" for name, metrics in parts.items() if metrics]
    lines += result.conclusion.lines
    lines += [f"run         {run}", *([f"picture     {picture}"] if picture else [])]
    output.result(data, "\n".join(lines))


def _metrics(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _command(task: Task) -> Callable[..., None]:
    def body(common: Common, options: NetworkOptions, *, gradients: Gradients = None, output: Last = Output()) -> None:
        if common.data is None and not common.resume:
            raise UsageError(f"unrolled train {task.name} needs a file or a folder to train on, or --resume --out RUN.")
        report(fit(task, common, options, output, gradients), output)

    body.__doc__ = task.summary[:1].upper() + task.summary[1:] + "."
    return with_options(body, Common, task.options, groups=GROUPS, hidden=() if task.name == "language" else ("more",))


def add_tasks(to: App, command: Callable[[Task], Callable[..., None]], more: str = "") -> None:
    """A command for every task; `more` is what its example has beside the task's own."""
    for place, task in enumerate(TASKS.values()):
        verb = f"unrolled {to.name[0]} {task.name}"
        to.command(
            command(task),
            name=task.name,
            sort_key=place,
            usage=f"Usage: {verb} DATA {'[MORE ...] ' if task.name == 'language' else ''}[OPTIONS]",
            help_epilogue=block((f"{verb} {task.example}{more}",)),
        )


add_tasks(app, _command)
