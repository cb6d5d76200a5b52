from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from batteries.random_case import RandomCase, random_case
from unrolled import cells
from unrolled.engine import scan
from unrolled.engine.cpu import large, pool


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small work is shared out too."""
    monkeypatch.setattr(large, "WORTH_A_THREAD", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_argument_once_and_the_last_one_here() -> None:
    seen: dict[int, int] = {}
    pool.run(lambda k: seen.update({k: threading.get_ident()}), [1, 2, 3, 4])
    assert sorted(seen) == [1, 2, 3, 4]
    assert seen[4] == threading.get_ident()


def test_two_at_the_same_time() -> None:
    together = threading.Barrier(2)
    pool.run(lambda _: together.wait(30) and None, [1, 2])


@pytest.mark.parametrize("failing", [1, 3])
def test_an_exception_arrives_after_all_have_finished(failing: int) -> None:
    finished = []

    def job(k: int) -> None:
        if k == failing:
            raise ZeroDivisionError(k)
        time.sleep(0.05)
        finished.append(k)

    with pytest.raises(ZeroDivisionError):
        pool.run(job, [1, 2, 3])
    left = list(finished)
    time.sleep(0.1)
    assert finished == left


def test_an_interrupt_waits_for_those_who_write_to_the_callers_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, finished, real, calls = threading.Event(), [], pool.wait, []

    def job(k: int) -> None:
        begun.set()
        time.sleep(0.1 if k == 1 else 0)
        finished.append(k)

    def interrupted(jobs: list[object]) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(jobs)

    monkeypatch.setattr(pool, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.run(lambda k: (begun.wait(30), job(k))[1] if k == 2 else job(k), [1, 2])
    assert sorted(finished) == [1, 2]


def test_nested_use_comes_to_an_end() -> None:
    done = []
    outer = threading.Thread(
        target=lambda: pool.run(lambda k: pool.run(lambda j: done.append((k, j)), [1, 2, 3]), [1, 2, 3]), daemon=True
    )
    outer.start()
    outer.join(30)
    assert sorted(done) == [(k, j) for k in (1, 2, 3) for j in (1, 2, 3)]


@pytest.mark.parametrize("name", ["gru", "lstm-layernorm", "slstm"])
def test_one_and_two_threads_give_the_same_bits(name: str) -> None:
    case = random_case(cells.by_name(name), batch=7, steps=9, inputs=5, hidden=19)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        outputs, last = scan(case.cell, case.weights, case.xs, case.state, engine="compiled")
        found.append([outputs, *last])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_without_gradients_the_same_outputs() -> None:
    case = random_case(cells.GRU(), batch=5)
    outputs, _ = scan(case.cell, case.weights, case.xs, engine="compiled")
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            plain, _ = scan(case.cell, case.weights, case.xs, engine="compiled")
        assert not plain.requires_grad
        torch.testing.assert_close(plain, outputs.detach(), rtol=1e-13, atol=1e-13)


def _case(k: int) -> RandomCase:
    return random_case(cells.GRU(), batch=2 + k % 3, steps=3 + k, inputs=3, hidden=5 + 7 * (k % 4), seed=k)


def _total(k: int) -> float:
    case = _case(k)
    outputs, _ = scan(case.cell, case.weights, case.xs, engine="compiled")
    return float(outputs.detach().square().sum())


def test_several_python_threads_with_different_sizes() -> None:
    alone = [_total(k) for k in range(12)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(_total, range(12), timeout=60)) == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    want = _total(3)

    def in_the_child() -> None:
        test_two_at_the_same_time()
        os._exit(0 if _total(3) == want else 7)

    child = multiprocessing.get_context("fork").Process(target=in_the_child)
    child.start()
    child.join(60)
    assert child.exitcode == 0


class Encoded(Dataset[float]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, k: int) -> float:
        return _total(k)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_workers_of_a_data_loader() -> None:
    want = [_total(k) for k in range(4)]
    loader = DataLoader(Encoded(), batch_size=2, num_workers=2, timeout=60)
    assert torch.cat(list(loader)).tolist() == want


SPAWNED = """
import multiprocessing, torch
from unrolled import cells
from unrolled.cell import Initial, Sizes, initial_values, trace
from unrolled.engine import Weights, scan
import numpy as np

def run(queue):
    program = trace(cells.GRU())
    values = initial_values(program, Sizes(8, 40, 40), np.random.default_rng(0))
    weights = Weights.from_dict({k: torch.from_numpy(v) for k, v in values.items()})
    torch.set_num_threads(2)
    outputs, _ = scan(program, weights, torch.ones(64, 60, 8).to(weights.W.dtype), engine="compiled")
    queue.put(float(outputs.double().sum()))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    run(queue)
    child = context.Process(target=run, args=(queue,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert queue.get() == queue.get()
"""


def test_a_spawned_child(tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    subprocess.run([sys.executable, script], check=True, timeout=120)
