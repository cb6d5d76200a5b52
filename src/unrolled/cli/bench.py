"""`unrolled bench`: speeds on this machine, of results that were checked equal first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.errors import UsageError

if TYPE_CHECKING:
    from unrolled.bench.recurrent import Row

Rounds = Annotated[int, Parameter(help="times that each contestant runs; the least time counts")]
Threads = Annotated[int | None, Parameter(help="processor threads; default: what torch chooses")]


def bench(*, rounds: Rounds = 5, threads: Threads = None, output: Output = Output()) -> None:
    """Time one recurrent layer: torch.nn beside our engines, in turn, after the results were found equal."""
    if rounds < 1 or (threads is not None and threads < 1):
        raise UsageError("--rounds and --threads need to be at least 1.")
    import torch

    from unrolled.bench.recurrent import compare

    if threads is not None:
        torch.set_num_threads(threads)
    output.note(f"float32, {torch.get_num_threads()} threads, torch {torch.__version__}; least of {rounds} rounds")
    rows: list[Row] = []
    for row in compare(rounds=rounds):
        if output.streams:
            print(_line(row) if rows else f"{_head(row)}\n{_line(row)}", flush=True)
        rows.append(row)
    if not output.streams:
        output.result({"threads": torch.get_num_threads(), "rounds": rounds, "rows": [_data(row) for row in rows]}, "")


def _head(row: Row) -> str:
    return " ".join(
        [f"{'cell':<5} {'shape':<24} {'phase':<8}", *(f"{name:>10}" for name in row.times), "  torch/ours  differ"]
    )


def _line(row: Row) -> str:
    """Milliseconds; the ratio is torch's time over that of our fastest engine."""
    theirs, *ours = (times.least for times in row.times.values())
    times = " ".join(f"{1e3 * seconds:>7.2f} ms" for seconds in (theirs, *ours))
    return f"{row.cell:<5} {row.shape!s:<24} {row.phase:<8} {times}   {theirs / min(ours):>9.2f}x  {row.difference:.0e}"


def _data(row: Row) -> dict[str, object]:
    return {
        "cell": row.cell,
        "shape": row.shape,
        "phase": row.phase,
        "difference": row.difference,
        "least": {name: times.least for name, times in row.times.items()},
        "median": {name: times.median for name, times in row.times.items()},
    }
