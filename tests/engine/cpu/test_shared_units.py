from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator

import pytest
import torch

from batteries import Case, check_engine
from batteries.random_case import assert_close, random_case
from unrolled import cells
from unrolled.cell import Cell, ProgramCell, recurrent_dropout, trace
from unrolled.engine import scan, step
from unrolled.engine.cpu import call, large, room, stepper, team

CELLS: dict[str, Cell] = {
    **{name: cells.by_name(name) for name in cells.names()},
    "slstm-3-heads": cells.SLSTM(heads=3),
    "gru-before-dropout": ProgramCell(recurrent_dropout(trace(cells.GRUResetBefore()), 0.3)),
}
CASES = (
    Case(1, 9, 3, 70, 40),
    Case(3, 7, 5, 37, 70),
    Case(4, 6, 2, 130, ragged=True),
    Case(3, 5, 4, 67, ragged=True, reverse=True),
)
pytestmark = pytest.mark.skipif(team.openmp() is None, reason="no OpenMP library with GNU's interface here")


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Small work is shared out too, by units wherever that is possible; says how many shares there were."""
    shares: list[int] = []
    real = call.Call._worth_sharing_units

    def seen(self: call.Call, rows: int, threads: int) -> bool:
        found = real(self, 1, threads)
        shares.append(threads if found else 1)
        return found

    monkeypatch.setattr(large, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(call, "WORTH_A_BARRIER", {1: 2})
    monkeypatch.setattr(call.Call, "_worth_sharing_units", seen)
    monkeypatch.setattr(room, "empty", lambda *shape, dtype: torch.full(shape, float("nan"), dtype=dtype))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield shares
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_shared_units_equal_the_reference(name: str, case: Case, two_threads: list[int]) -> None:
    check_engine("compiled", CELLS[name], case)
    whole = "layernorm" in name or not trace(CELLS[name]).recurrent
    assert set(two_threads) == ({1} if whole else {2})


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "gru-reset-before", "lstm-peephole", "lstm-projected", "lstm-layernorm"]
)
def test_steps_of_a_team_equal_the_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, value in {"WORTH_A_THREAD": 1, "NEAR": math.inf, "FIRST": 2, "PATIENCE": 10**6}.items():
        monkeypatch.setattr(stepper, limit, value)
    # rows that a whole sequence would share out between the threads
    case = random_case(CELLS[name], batch=2, steps=9, hidden=48, output=32)
    wanted, end = case.scan(engine="reference")
    now, parts, weights = case.state, [], case.weights
    with torch.no_grad():
        for t in range(9):
            y, now = step(case.cell, weights, case.xs[:, t], now)
            parts.append(y)
        found = stepper.find(case.program, weights, case.xs[:, 0], now)
    assert found is not None
    assert (found.together is None) == ("layernorm" in name)
    assert found.alone == (0 if "layernorm" in name else 2)
    assert_close([torch.stack(parts, 1), *now], [wanted, *end])


def test_a_team_that_is_slower_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, value in {"WORTH_A_THREAD": 1, "NEAR": math.inf, "FIRST": 1, "PATIENCE": 2, "PENALTY": math.inf}.items():
        monkeypatch.setattr(stepper, limit, value)
    case = random_case(cells.LSTM(), batch=1, steps=1, hidden=32)
    weights = case.weights
    with torch.no_grad():
        for _ in range(2):
            step(case.cell, weights, case.xs[:, 0], case.state)
        found = stepper.find(case.program, weights, case.xs[:, 0], case.state)
        assert found is not None
        found.alone, found.best = 1, 0.0
        alone = []
        for _ in range(5):
            step(case.cell, weights, case.xs[:, 0], case.state)
            alone.append(found.alone)
    assert alone == [1, 1, 2, 3, 4]


def test_in_float32_over_many_steps() -> None:
    for name in ("lstm", "gru", "gru-reset-before"):
        check_engine("compiled", CELLS[name], Case(1, 300, 8, 200), torch.float32)


def test_a_team_of_one_does_all_the_work() -> None:
    library = ctypes.CDLL(None)
    case = random_case(cells.LSTM(), batch=1, hidden=70)
    wanted, _ = case.scan(engine="reference")
    before = library.omp_get_max_active_levels()
    library.omp_set_max_active_levels(0)
    try:
        outputs, _ = case.scan(engine="compiled")
    finally:
        library.omp_set_max_active_levels(before)
    assert_close([outputs], [wanted])


def test_from_several_python_threads() -> None:
    cases = [random_case(cells.GRU(), batch=1, steps=50, hidden=64 + 7 * k, seed=k) for k in range(4)]
    alone = [case.scan(engine="compiled")[0] for case in cases]
    found: dict[int, list[torch.Tensor]] = {}

    def run(k: int) -> None:
        found[k] = [scan(cases[k].cell, cases[k].weights, cases[k].xs, cases[k].state, engine="compiled")[0]
                    for _ in range(5)]  # fmt: skip

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert all(torch.equal(one, alone[k]) for k in range(4) for one in found[k])
