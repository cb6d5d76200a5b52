"""`unrolled tune TASK FILE`: try choices of hyper-parameters, each as a run, and say which was the best."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cyclopts import App, Group

from unrolled.cli.commands import COMMANDS, block
from unrolled.cli.encoding import EncodingLine
from unrolled.cli.options import with_options
from unrolled.cli.output import Output
from unrolled.cli.train import GROUPS as TRAIN_GROUPS
from unrolled.cli.train import Last, add_tasks
from unrolled.tasks import NetworkOptions, Task
from unrolled.tasks.events import Duplicates, Encoding, Event, Skipped, Split
from unrolled.tasks.options.durations import format_duration
from unrolled.tune import TuneCommon
from unrolled.tune.space import shown
from unrolled.tune.watch import Watch

if TYPE_CHECKING:
    from unrolled.train import Observer
    from unrolled.tune.search import Search
    from unrolled.tune.study import Record

GROUPS = {**TRAIN_GROUPS, "TuneCommon": Group("The search", sort_key=1)}
_SHOWN = 10

app = App(
    name="tune",
    help=COMMANDS["tune"].summary,
    usage=COMMANDS["tune"].usage("tune"),
    help_epilogue=block(COMMANDS["tune"].examples),
)


def _command(task: Task) -> Callable[..., None]:
    def body(common: TuneCommon, options: NetworkOptions, *, output: Last = Output()) -> None:
        from unrolled.tune.search import tune

        report(tune(task, options, common, _Lines(task, output)), output)

    body.__doc__ = f"Search for the hyper-parameters with which to {task.summary}."
    hidden = () if task.name == "language" else ("more",)
    return with_options(body, TuneCommon, task.options, groups=GROUPS, hidden=hidden)


class _Lines(Watch):
    """A line for the study, what is known of the data, a line for each trial."""

    def __init__(self, task: Task, output: Output) -> None:
        self.task = task
        self.output = output
        self.encoding = EncodingLine()

    def on_study(self, search: Search) -> None:
        begun = len([one for one in search.records() if one.state != "waiting"])
        each = "" if search.seconds_each is None else f" of {format_duration(search.seconds_each)}"
        there = f" ({begun} begun before)" if begun else ""
        of = f"{_trials(search.common.most)}{each}{there}"
        self.output.note(f"study {search.out}: {of}, over {', '.join(map(str, search.space)) or 'nothing'}")

    def on_lost(self, numbers: Sequence[int]) -> None:
        several = "s" if len(numbers) > 1 else ""
        self.output.note(
            f"taken up again, because the process has ended: trial{several} {', '.join(map(str, numbers))}"
        )

    def on_event(self, event: Event) -> None:
        if isinstance(event, Encoding):
            self.encoding.show(event, self.output)
            return
        self.encoding.clear()
        if isinstance(event, Split | Skipped | Duplicates):
            self.output.note(str(event))

    def observers(self) -> Sequence[Observer]:
        from unrolled.train import ProgressBar

        if self.output.quiet or not sys.stderr.isatty():
            return ()
        return (ProgressBar(self.task.model.pace or self.task.model.unit, self.task.model.metric),)

    def on_trial(self, search: Search, number: int) -> None:
        record = next(one for one in search.records() if one.number == number)
        best = search.best()
        so_far = f"; best {shown(best.value)}, {best.run}" if best is not None else ""
        self.output.note(f"{record.run}: {_how(record, search.metric)}  {_choices(record)}{so_far}")


def _how(record: Record, metric: str) -> str:
    seconds = format_duration(record.seconds or 0.0)
    if record.state == "failed":
        return f"failed after {seconds} ({record.why})"
    value = "before its first value" if record.value is None else f"{metric} {shown(record.value)}"
    return f"{value}, pruned after {seconds}" if record.state == "pruned" else f"{value}, {seconds}"


def _choices(record: Record) -> str:
    return "  ".join(f"{name} {shown(value)}" for name, value in record.options.items())


def report(search: Search, output: Output) -> None:
    """The best trials, how many there were, what mattered, and which run is the best."""
    from unrolled.train.settings import RISING
    from unrolled.tune.search import BEST

    all_of_them, best, metric = search.records(), search.best(), search.metric
    sign = -1 if metric in RISING else 1
    ended = [one for one in all_of_them if one.state in ("complete", "pruned")]
    ended.sort(key=lambda one: (one.state != "complete", sign * (one.value or 0.0), one.number))
    importance = search.importance()
    data = {
        "study": search.out,
        "task": search.task.name,
        "metric": metric,
        "search": list(map(str, search.space)),
        "trials": all_of_them,
        "importance": importance,
        "best": None if best is None else {**vars(best), "run": search.out / str(best.run)},
        "command": None if best is None else search.command(best),
    }
    names = [dimension.name for dimension in search.space]
    lines = [*_table(ended[:_SHOWN], metric, names), "", _counted(all_of_them)] if ended else [_counted(all_of_them)]
    if importance:
        shares = "  ".join(f"{name} {100 * share:.0f} %" for name, share in importance.items())
        lines.append(f"what mattered  {shares}")
    if best is not None:
        lines.append(f"best           {search.out / str(best.run)} ({metric} {shown(best.value)}; {search.out / BEST})")
        lines.append(f"train longer   {search.command(best)}")
    output.result(data, "\n".join(lines))


def _table(found: Sequence[Record], metric: str, names: Sequence[str]) -> list[str]:
    """Columns as wide as what stands in them."""
    rows = [["trial", metric, *names, "time", ""]]
    for one in found:
        cells = [shown(one.options.get(name, "")) for name in names]
        value = "" if one.value is None else shown(one.value)
        state = "" if one.state == "complete" else one.state
        rows.append([str(one.run), value, *cells, format_duration(one.seconds or 0.0), state])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


def _counted(found: Sequence[Record]) -> str:
    counts = Counter(one.state for one in found)
    return f"{_trials(len(found))}: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


add_tasks(app, _command, " --trials 9")
