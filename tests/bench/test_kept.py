from __future__ import annotations

import pytest

from unrolled import cells
from unrolled.bench.kept import kept_bytes, table
from unrolled.cell import trace
from unrolled.engine.cpu.compiler import compiled


@pytest.mark.parametrize("name", ["lstm", "gru", "mingru"])
def test_what_is_kept_is_what_the_schedule_says(name: str) -> None:
    cell = cells.by_name(name)
    said = compiled(trace(cell), "float32").saved_bytes()
    # a state is kept before the first step too
    assert kept_bytes(cell, "compiled") == pytest.approx(said, rel=0.03)


def test_less_than_torch_keeps() -> None:
    ours, torchs, loop = (kept_bytes(cells.LSTM(), engine) for engine in ("compiled", "native", "reference"))
    assert ours is not None and torchs is not None and loop is not None
    assert ours < torchs
    assert ours < loop
    assert kept_bytes(cells.PeepholeLSTM(), "native") is None


def test_a_line_for_every_cell() -> None:
    lines = table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(cells.names())
