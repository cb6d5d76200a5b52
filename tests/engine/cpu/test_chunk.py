"""Short sequences with everything laid out beforehand: the same numbers, and never after something has changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from batteries.random_case import RandomCase, assert_close, random_case
from unrolled import cells
from unrolled.cell import Cell, ProgramCell, recurrent_dropout, trace
from unrolled.engine import Weights, scan
from unrolled.engine.cpu import chunk, kept, room

CELLS: dict[str, Cell] = {
    **{name: cells.by_name(name) for name in cells.names()},
    "gru-before-dropout": ProgramCell(recurrent_dropout(trace(cells.GRUResetBefore()), 0.3)),
}


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "empty", lambda *shape, dtype: torch.full(shape, float("nan"), dtype=dtype))


def known(case: RandomCase, weights: Weights, *, reverse: bool = False) -> chunk.Chunk | None:
    return kept.find(weights, chunk.Chunk, (case.program, case.xs.shape, reverse))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("batch", "steps"), [(1, 20), (2, 5), (9, 4)])
@pytest.mark.parametrize("name", CELLS)
def test_chunks_equal_the_reference(name: str, batch: int, steps: int, *, reverse: bool) -> None:
    case = random_case(CELLS[name], batch=batch, steps=steps, hidden=32, output=16)
    weights = case.weights
    for state in (case.state, None):
        wanted = scan(case.cell, weights, case.xs, state, reverse=reverse, engine="reference")
        with torch.no_grad():
            found = [scan(case.cell, weights, case.xs, state, reverse=reverse) for _ in range(4)]
        for outputs, last in found:
            assert_close([outputs, *last], [wanted[0], *wanted[1]])
            assert torch.equal(outputs, found[0][0])
        # what one call gave stays as it is while others run
        assert len({outputs.data_ptr() for outputs, _ in found}) == 4
    puts_out_a_state = case.program.output in case.program.next
    assert (known(case, weights, reverse=reverse) is not None) == (puts_out_a_state and case.program.heads == 1)


def test_long_and_odd_ones_are_not_laid_out() -> None:
    for sizes in ({"steps": 3000, "hidden": 16}, {"hidden": 17}, {"hidden": 512}):
        case = random_case(cells.LSTM(), batch=1, **sizes)
        weights = case.weights
        with torch.no_grad():
            for _ in range(3):
                scan(case.cell, weights, case.xs)
        assert known(case, weights) is None


def test_what_has_changed_is_seen() -> None:
    case = random_case(cells.GRU(), batch=1, steps=20, hidden=16)
    weights = case.weights
    with torch.no_grad():
        before = [scan(case.cell, weights, case.xs)[0] for _ in range(3)][-1]
        assert known(case, weights) is not None
        for value in case.named.values():
            value.mul_(1.5)
        changed = scan(case.cell, weights, case.xs)[0]
        assert_close([changed], [scan(case.cell, weights, case.xs, engine="reference")[0]])
        assert not torch.allclose(changed, before)
        for value in case.named.values():
            value.data = value.data * 2
        moved = scan(case.cell, weights, case.xs)[0]
        assert_close([moved], [scan(case.cell, weights, case.xs, engine="reference")[0]])
    outputs, _ = scan(case.cell, weights, case.xs)
    assert outputs.requires_grad


def test_other_ways_to_call_it() -> None:
    case = random_case(cells.LSTM(), batch=2, steps=6, hidden=16)
    weights = case.weights
    wanted, end = scan(case.cell, weights, case.xs, case.state, engine="reference")
    with torch.inference_mode():
        for _ in range(3):
            scan(case.cell, weights, case.xs, case.state)
    assert known(case, weights) is not None
    turned = case.xs.detach().transpose(1, 2).contiguous().transpose(1, 2)
    with torch.no_grad():
        for xs, state in ((case.xs, case.state), (turned, case.state), (case.xs, case.state._asdict())):
            outputs, last = scan(case.cell, weights, xs, state)
            assert_close([outputs, *last], [wanted, *end])
        outputs.mul_(0.0)
        assert_close([*last], [*end])


def test_threads_have_their_own() -> None:
    case = random_case(cells.LSTM(), batch=1, steps=8, hidden=16)
    weights = case.weights
    inputs = [torch.randn_like(case.xs) for _ in range(4)]
    wanted = [scan(case.cell, weights, xs, engine="reference")[0] for xs in inputs]

    def work(k: int) -> float:
        with torch.no_grad():
            return max(float((scan(case.cell, weights, inputs[k])[0] - wanted[k]).abs().max()) for _ in range(200))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) < 1e-10


def test_what_cannot_be_laid_out_is_not_tried_again() -> None:
    weights, tried = random_case(cells.Elman()).weights, []

    def make() -> None:
        tried.append(1)

    for _ in range(5):
        if kept.wanted(weights, chunk.Chunk, "never"):
            kept.remember(weights, chunk.Chunk, "never", make)
    assert len(tried) == 1
    assert kept.find(weights, chunk.Chunk, "never") is None


def test_no_more_is_kept_than_there_is_room_for() -> None:
    case = random_case(cells.Elman(), batch=1, steps=40, hidden=16)
    weights = case.weights

    def lengths() -> list[int]:
        return sorted(key[0][1][1] for key in weights.laid_out[chunk.Chunk].entries)

    def run(*steps: int) -> None:
        with torch.no_grad():
            for each in steps:
                scan(case.cell, weights, case.xs[:, :each])

    for _ in range(5):
        run(*range(1, 21))
    # those that came first are used again and again, so the others do not take their room
    assert lengths() == list(range(1, kept.MOST + 1))
    for _ in range(kept.STALE + kept.EVERY):
        run(40)
    assert 40 in lengths()
    for steps in range(100, 100 + 2 * kept.SEEN):
        assert not kept.wanted(weights, chunk.Chunk, steps)
    assert len(weights.laid_out[chunk.Chunk].seen) == kept.SEEN


def test_parameters_that_move_at_every_call_are_given_up() -> None:
    case = random_case(cells.Elman(), batch=1, steps=20, hidden=16)
    weights = case.weights
    with torch.no_grad():
        for _ in range(3 * kept.OFTEN):
            for value in case.named.values():
                value.data = value.data.clone() * 1.1
            outputs = scan(case.cell, weights, case.xs)[0]
            assert_close([outputs], [scan(case.cell, weights, case.xs, engine="reference")[0]])
    (entry,) = weights.laid_out[chunk.Chunk].entries.values()
    assert entry.times == kept.OFTEN
    assert entry.made is None
