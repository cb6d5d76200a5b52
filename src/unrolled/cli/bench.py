"""`unrolled bench`: speeds on this machine, of results that were checked equal first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from unrolled.cli.output import Flag, Output
from unrolled.errors import ArgumentError, UsageError
from unrolled.tasks.cells import find_cell

if TYPE_CHECKING:
    from unrolled.bench.suite import Found, Suite

QUICK, PATIENT = 0.5, 3.0
Several = Parameter(consume_multiple=True, negative=(), show_default=False)


@Parameter(name="*")
@dataclass(frozen=True)
class Settings:
    """What is timed, and for how long."""

    cell: Annotated[tuple[str, ...], Several] = ()
    """cells by name, or file.py:NAME; default: lstm gru mgu, with --full lstm gru rnn mgu"""
    shapes: Annotated[tuple[str, ...], Several] = ()
    """steps x rows x inputs x units, e.g. 100x32x64x128; default: two, with --full seven"""
    only: Literal["forward", "training"] | None = None
    """one phase; default: both"""
    full: Flag = False
    """the larger shapes too, and wait for whoever is slow: about ten minutes"""
    busy: Flag = False
    """also beside another process that keeps one core busy"""
    seconds: float | None = None
    """for each line of the table, in which the contestants take turns; default: 0.5, with --full 3"""
    threads: int | None = None
    """processor threads; default: what torch chooses"""
    picture: Path = Path("bench.png")
    """file for the picture"""


def bench(*, settings: Settings = Settings(), output: Output = Output()) -> None:
    """Time recurrent layers: ours beside torch.nn, the eager loop, torch.compile, JAX and ONNX Runtime.

    JAX and ONNX Runtime take part where they are installed (pip install 'unrolled[peers]'). Nothing is timed before its
    results were found equal.
    """
    suite = _suite(settings)
    import torch

    from unrolled.bench.picture import draw
    from unrolled.bench.recurrent import Row
    from unrolled.bench.suite import machine
    from unrolled.cli import bench_text

    # the threads of torch are those of everybody: JAX and ONNX Runtime are told the same number
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads or before)
    try:
        facts = machine(torch.get_num_threads()) | {"wait_policy": os.environ.get("OMP_WAIT_POLICY")}
        output.note(bench_text.head(facts))
        found: list[Found] = []
        for result in suite.run():
            found.append(result)
            if output.streams:
                print(bench_text.text(result, facts["limit"]), flush=True)
    finally:
        torch.set_num_threads(before)
    rows = [result for result in found if isinstance(result, Row)]
    missing = draw(settings.picture, rows, bench_text.LABELS)
    output.note(missing or f"picture  {settings.picture}")
    picture = None if missing else settings.picture
    output.result(facts | bench_text.data(found, facts["limit"]) | {"picture": picture}, bench_text.summary(rows))


def _suite(settings: Settings) -> Suite:
    """What to run, checked before torch is loaded."""
    if settings.threads is not None and settings.threads < 1:
        raise UsageError(f"--threads is {settings.threads}, but at least 1 is needed.")
    seconds = settings.seconds if settings.seconds is not None else PATIENT if settings.full else QUICK
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--seconds is {seconds:g}, but a time above 0 is needed.")
    if not settings.picture.absolute().parent.is_dir():
        raise UsageError(f"--picture {settings.picture} is in a folder that is not there; name another file.")
    from unrolled.bench import suite
    from unrolled.bench.problem import Shape

    names = settings.cell or (suite.CELLS_OF_FULL if settings.full else suite.CELLS)
    try:
        shapes = tuple(map(Shape.parse, settings.shapes)) or (suite.FULL if settings.full else suite.SHAPES)
    except ArgumentError as error:
        raise UsageError(str(error)) from None
    return suite.Suite(
        cells={name: find_cell(name) for name in names},
        shapes=shapes,
        phases=(settings.only,) if settings.only else suite.PHASES,
        pace=suite.pace(seconds, patient=settings.full),
        busy=settings.busy,
    )
