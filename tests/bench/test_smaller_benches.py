"""Lengths, single steps, new cells, a busy neighbour and the picture."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from unrolled.bench import busy, cold, latency, picture, ragged
from unrolled.bench.problem import Shape
from unrolled.bench.recurrent import OURS, TOLERANCE, TORCH, compare
from unrolled.bench.timing import Pace, Times
from unrolled.cells import by_name
from unrolled.errors import DataError, EngineError

MINE = """
from unrolled.cell import Cell, sigmoid, state, tanh

class Mine(Cell):
    gates = ("f", "n")
    state = state(h="output")

    def update(self, x, u, s, p):
        f = sigmoid(x.f + u.f)
        h = f * s.h + (1 - f) * tanh(x.n + u.n)
        return h, self.next(h=h)
"""
SHAPE = Shape(6, 4, 3, 7)
ONCE = Pace(rounds=1)


def test_rows_of_different_lengths_beside_full_ones() -> None:
    rows = list(ragged.ragged("gru", by_name("gru"), ONCE, (SHAPE,)))
    assert [row.phase for row in rows] == ["forward", "training"]
    for row in rows:
        assert set(row.full) == set(row.ragged) == {OURS, TORCH}
        assert 0 <= row.difference < TOLERANCE
        assert 1 / 6 <= row.steps <= 1
    row = replace(rows[0], full={OURS: Times((0.4, 0.8))}, ragged={OURS: Times((0.3, 0.1))})
    assert row.share(OURS) == pytest.approx(0.25)
    (own,) = ragged.ragged("mgu", by_name("mgu"), ONCE, (SHAPE,), ("forward",))
    assert set(own.ragged) == {OURS}


def test_one_step_at_a_time() -> None:
    found = latency.latency("lstm", by_name("lstm"), ONCE, Shape(1, 1, 3, 16), (OURS, TORCH, "reference", "native"))
    assert set(found.times) == {OURS, TORCH, "reference", "native"}
    assert 0 <= found.difference < TOLERANCE
    assert all(0 < times.least < 0.1 for times in found.times.values())
    found = latency.latency("mgu", by_name("mgu"), ONCE, Shape(1, 1, 3, 16), (OURS, TORCH, "reference"))
    assert set(found.times) == {OURS, "reference"}
    assert "no layer" in found.absent[TORCH]


def test_a_cell_of_ones_own_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    choice, cache = f"{tmp_path / 'mine.py'}:Mine", tmp_path / "cache"
    monkeypatch.setenv("UNROLLED_CACHE", str(cache))
    # As the process of `cold` does it; the second time nothing is compiled.
    assert cold._process(choice, str(cache)) > 0
    kept = sorted(cache.iterdir())
    assert len(kept) >= 2
    assert cold.wait(choice) > 0
    assert sorted(cache.iterdir()) == kept


def test_a_new_cell_waits_with_an_empty_cache_and_with_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = []

    def process(choice: str, cache: str) -> float:
        assert choice == "gru"
        assert Path(cache).is_dir()
        caches.append(cache)
        return float(len(caches))

    monkeypatch.setattr(cold, "_process", process)
    assert cold.cold("gru") == cold.Cold("gru", compiled=1.0, loaded=2.0)
    assert caches[0] == caches[1]
    assert not Path(caches[0]).exists()


def test_a_process_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "Traceback:\nMemoryError: too little")
    monkeypatch.setattr(cold.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EngineError, match=r"compiles gru failed \(MemoryError: too little\)"):
        cold._process("gru", str(tmp_path))


def test_beside_a_busy_neighbour() -> None:
    with busy.neighbour() as process:
        assert process.poll() is None
    assert process.wait() != 0
    (row,) = busy.busy("lstm", by_name("lstm"), ONCE, SHAPE, ("forward",))
    assert set(row.alone) == set(row.beside) == {OURS, TORCH}
    assert len(row.beside[OURS].seconds) == busy.TURNS
    row = replace(row, alone={OURS: Times((1.0, 2.0, 3.0))}, beside={OURS: Times((1.0, 5.0, 9.0))})
    assert row.slower(OURS) == pytest.approx(2.5)


def test_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    rows = list(compare((SHAPE,), {"gru": by_name("gru")}, pace=ONCE))
    labels = {OURS: "ours", TORCH: "torch", "jax": "JAX"}
    assert picture.draw(tmp_path / "a.png", rows, labels) is None
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="could not be written"):
        picture.draw(tmp_path / "none" / "a.png", rows, labels)
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    assert "pip install 'unrolled[plot]'" in str(picture.draw(tmp_path / "b.png", rows, labels))
    assert not (tmp_path / "b.png").exists()
