from __future__ import annotations

import ctypes
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unrolled.engine.cpu import pool, team
from unrolled.engine.cpu.linker import Function

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
TASKS = Path("/proc/self/task")
with_openmp = pytest.mark.skipif(team.openmp() is None, reason="no OpenMP library with GNU's interface here")


def function(body: Callable[[int], None]) -> Function:
    """Python code where a kernel would be, called with the first number of the table."""
    callback = CALLBACK(lambda place: body(ctypes.c_int64.from_address(place).value))
    return Function(ctypes.cast(callback, ctypes.c_void_p).value or 0, callback)


def tables(*values: int) -> list[array[int]]:
    return [team.table((value,)) for value in values]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_table_once(count: int) -> None:
    seen: list[int] = []
    job = function(seen.append)
    team.run(job, tables(*(11 * k for k in range(1, count + 1))))
    assert sorted(seen) == [11 * k for k in range(1, count + 1)]


@with_openmp
def test_two_at_the_same_time_and_one_of_them_here() -> None:
    together, threads = threading.Barrier(2), set()

    def body(_: int) -> None:
        threads.add(threading.get_ident())
        together.wait(30)

    job = function(body)
    team.run(job, tables(1, 2))
    assert threading.get_ident() in threads
    assert len(threads) == 2


@with_openmp
@pytest.mark.skipif(not TASKS.exists(), reason="no list of this process's threads here")
def test_the_threads_are_those_that_torch_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "run", lambda *_: pytest.fail("threads of our own beside torch's"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(4_000_000).exp_()
    running = len(list(TASKS.iterdir()))
    together = threading.Barrier(2)
    job = function(lambda _: together.wait(30) and None)
    team.run(job, tables(1, 2))
    torch.set_num_threads(before)
    assert len(list(TASKS.iterdir())) == running


def test_without_openmp_on_threads_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "openmp", lambda: None)
    together, names = threading.Barrier(2), set()

    def body(_: int) -> None:
        names.add(threading.current_thread().name)
        together.wait(30)

    job = function(body)
    team.run(job, tables(1, 2))
    assert any(name.startswith("unrolled") for name in names)


def test_from_several_python_threads() -> None:
    totals = [0] * 4

    def one(place: int) -> None:
        def add(value: int) -> None:
            totals[place] += value

        job = function(add)
        for _ in range(20):
            team.run(job, tables(1, 2, 4))

    threads = [threading.Thread(target=one, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert totals == [140] * 4
