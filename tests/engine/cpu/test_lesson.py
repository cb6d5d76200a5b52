"""Training on short sequences with everything laid out beforehand: the same gradients, whatever comes in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from batteries.random_case import RandomCase, assert_close, gradients, random_case
from unrolled import cells
from unrolled.cell import Cell, ProgramCell, recurrent_dropout, trace
from unrolled.engine import Weights, scan
from unrolled.engine.cpu import call, kept, lesson, room

CELLS: dict[str, Cell] = {
    **{name: cells.by_name(name) for name in cells.names()},
    "gru-before-dropout": ProgramCell(recurrent_dropout(trace(cells.GRUResetBefore()), 0.3)),
}


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "empty", lambda *shape, dtype: torch.full(shape, float("nan"), dtype=dtype))


def known(case: RandomCase, weights: Weights, *, reverse: bool = False) -> lesson.Lesson | None:
    return kept.find(weights, lesson.Lesson, (case.program, case.xs.shape, reverse))


def everything(case: RandomCase, weights: Weights, **options: Any) -> list[Tensor]:
    """Outputs, last state and all gradients."""
    outputs, last = scan(case.cell, weights, case.xs, case.state, **options)
    return [outputs, *last, *gradients(outputs, last, case.leaves())]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("batch", "steps", "rows"), [(1, 20, 8), (3, 4, 8), (5, 4, 1)])
@pytest.mark.parametrize("name", CELLS)
def test_lessons_equal_the_reference(
    name: str, batch: int, steps: int, rows: int, monkeypatch: pytest.MonkeyPatch, *, reverse: bool
) -> None:
    monkeypatch.setattr(call, "MANY_ROWS", rows)
    case = random_case(CELLS[name], batch=batch, steps=steps, hidden=32, output=16)
    weights = case.weights
    wanted = everything(case, weights, reverse=reverse, engine="reference")
    found = [everything(case, weights, reverse=reverse) for _ in range(4)]
    for each in found:
        assert_close(each, wanted)
        assert all(torch.equal(a, b) for a, b in zip(each, found[0], strict=True))
    puts_out_a_state = case.program.output in case.program.next
    assert (known(case, weights, reverse=reverse) is not None) == (puts_out_a_state and case.program.heads == 1)


def test_two_graphs_at_once_and_one_twice() -> None:
    case = random_case(cells.LSTM(), batch=2, steps=9, hidden=16)
    weights, other = case.weights, torch.randn_like(case.xs).requires_grad_()
    for _ in range(2):
        everything(case, weights)
    assert known(case, weights) is not None
    parts = []
    for xs in (case.xs, other):
        wanted = scan(case.cell, weights, xs, engine="reference")[0].square().sum()
        parts.append((scan(case.cell, weights, xs)[0].square().sum(), wanted, xs))
    for found, wanted, xs in (*parts, *reversed(parts)):
        leaves = [xs, *case.named.values()]
        assert_close(
            torch.autograd.grad(found, leaves, retain_graph=True),
            torch.autograd.grad(wanted, leaves, retain_graph=True),
        )


def test_second_derivatives_go_through_the_reference() -> None:
    case = random_case(cells.GRU(), batch=2, steps=5, hidden=16)
    weights, found = case.weights, {}
    for engine in ("auto", "auto", "auto", "reference"):
        outputs = scan(case.cell, weights, case.xs, case.state, engine=engine)[0]
        (first,) = torch.autograd.grad(outputs.tanh().sum(), case.xs, create_graph=True)
        found[engine] = torch.autograd.grad(first.square().sum(), case.leaves())
    assert known(case, weights) is not None
    assert_close(found["auto"], found["reference"])


def test_parts_of_the_gradients_and_a_way_back_in_another_thread() -> None:
    case = random_case(cells.LSTM(), batch=2, steps=6, hidden=16)
    weights = case.weights
    for _ in range(2):
        everything(case, weights)

    def run(engine: str) -> list[Tensor | None]:
        xs = case.xs.detach()
        outputs, last = scan(case.cell, weights, xs, engine=engine)
        with ThreadPoolExecutor(1) as pool:
            leaves = list(case.named.values())
            only_c = pool.submit(torch.autograd.grad, last.c.sum(), leaves, retain_graph=True).result()
        return [*only_c, *torch.autograd.grad(outputs.sum(), leaves)]

    assert_close(run("auto"), run("reference"))
    assert known(case, weights) is not None


def test_parameters_that_changed_in_between() -> None:
    case = random_case(cells.GRU(), batch=1, steps=20, hidden=16)
    weights = case.weights
    for _ in range(2):
        everything(case, weights)
    for _ in range(3):
        with torch.no_grad():
            for value in case.named.values():
                value.mul_(1.2)
        assert_close(everything(case, weights), everything(case, weights, engine="reference"))
    outputs = scan(case.cell, weights, case.xs)[0]
    with torch.no_grad():
        case.named["U"].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()
