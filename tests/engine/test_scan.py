from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from batteries.random_case import assert_close, random_case
from unrolled import cells
from unrolled.cell import Cell, ProgramCell, trace, zoneout
from unrolled.engine import Capture, Weights, draw_noise, explain, scan, step
from unrolled.errors import ArgumentError, EngineError


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"xs": torch.zeros(3, 5, 9, dtype=torch.float64)}, r"must be \(B, T, 4\)"),
        ({"xs": torch.zeros(3, 5, 4)}, "float32 on cpu, but the weights are torch.float64"),
        ({"xs": None}, "neither an input nor a number of steps"),
        ({"steps": 7}, "steps is 7, but the input has 5"),
        ({"state": (torch.zeros(2, 6, dtype=torch.float64),)}, r"needs h \(3, 6\)"),
        ({"lengths": torch.tensor([5, 5])}, "a whole number for each of 3 rows"),
        ({"lengths": torch.tensor([5.0, 5.0, 1.0])}, "a whole number for each of 3 rows"),
        ({"lengths": torch.tensor([6, 1, 1])}, "lengths go from 1 to 6, but the input has 5 steps"),
        ({"lengths": torch.tensor([-1, 1, 1])}, "lengths go from -1"),
        ({"noise": {"dropout": torch.zeros(3, 6)}}, "noise was given for 'dropout'"),
        ({"capture": Capture("q")}, "no gate or state 'q' to capture, but h, r, z, n"),
    ],
)
def test_arguments_that_do_not_fit(change: dict[str, Any], says: str) -> None:
    case = random_case(cells.GRU())
    with pytest.raises(ArgumentError, match=says):
        scan(case.cell, case.weights, **({"xs": case.xs} | change))


def test_weights_that_do_not_fit() -> None:
    case = random_case(cells.GRU())
    named = dict(case.named)
    with pytest.raises(ArgumentError, match=r"the weight U of GRU is \(18, 5\), but its shape must be \(18, 6\)"):
        scan(case.cell, Weights.from_dict(named | {"U": named["U"][:, :5]}), case.xs)
    with pytest.raises(ArgumentError, match="the weight U of GRU is missing"):
        scan(case.cell, Weights(named["W"]), case.xs)
    with pytest.raises(ArgumentError, match=r"needs \(G\*H, F\), with 3 gates"):
        scan(case.cell, Weights(named["W"][:17]), case.xs)


def test_engine_that_cannot() -> None:
    case = random_case(cells.MinimalGated())
    with pytest.raises(EngineError, match="native cannot run this: MinimalGated is none of"):
        scan(case.cell, case.weights, case.xs, engine="native")
    with pytest.raises(EngineError, match="no engine 'cuda', but auto"):
        scan(case.cell, case.weights, case.xs, engine="cuda")


def test_explain_names_the_engine_and_the_reasons(caplog: pytest.LogCaptureFixture) -> None:
    gru = random_case(cells.GRU())
    assert "engine compiled" in str(explain(gru.cell, gru.weights, gru.xs))
    zoned = random_case(ProgramCell(zoneout(trace(cells.GRU()), {"h": 0.125})))
    with caplog.at_level(logging.INFO, "unrolled.engine"):
        told = str(explain(zoned.cell, zoned.weights, zoned.xs, capture=Capture("h")))
        explain(zoned.cell, zoned.weights, zoned.xs, capture=Capture("h"))
    assert "engine reference" in told
    assert "not native: torch's fused layers have no zoneout" in told
    assert "not compiled: the compiled kernels do not show their gates" in told
    assert sum("zoneout" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize("cell", [cells.LSTM(), cells.Elman(), cells.SLSTM()])
def test_auto_takes_the_compiled_engine_on_a_cpu(cell: Cell) -> None:
    case = random_case(cell, batch=8)
    assert explain(case.cell, case.weights, case.xs).engine == "compiled"


def test_capture_is_what_the_step_computes() -> None:
    case = random_case(cells.LSTM())
    capture = Capture("i", "c", "h")
    outputs, last = scan(case.cell, case.weights, case.xs, case.state, capture=capture)
    assert_close([capture["h"], capture["c"][:, -1]], [outputs, last.c])
    hidden = case.sizes.hidden
    x, h = case.xs[:, 0], case.state.h
    first = torch.sigmoid(x @ case.named["W"][:hidden].mT + case.named["b"][:hidden] + h @ case.named["U"][:hidden].mT)
    assert_close([capture["i"][:, 0]], [first])
    with pytest.raises(ArgumentError, match="'g' was not captured"):
        capture["g"]


def test_capture_past_the_end_is_zero() -> None:
    case = random_case(cells.GRU())
    capture = Capture("z")
    scan(case.cell, case.weights, case.xs, lengths=torch.tensor([5, 2, 0]), capture=capture)
    assert capture["z"][0].abs().min() > 0
    assert capture["z"][1, 2:].abs().max() == 0
    assert capture["z"][2].abs().max() == 0


def test_input_free_steps() -> None:
    case = random_case(cells.LSTM())
    outputs, last = scan(case.cell, case.weights, None, case.state, steps=5)
    zero, end = scan(case.cell, case.weights, torch.zeros_like(case.xs), case.state)
    assert_close([outputs, *last], [zero, *end])
    assert scan(case.cell, case.weights, None, steps=2)[0].shape == (1, 2, 6)
    y, _ = step(case.cell, case.weights, None, case.state)
    assert_close([y], [outputs[:, 0]])


def test_noise_is_drawn_as_declared_and_its_mean_is_evaluation() -> None:
    program = zoneout(trace(cells.GRU()), {"h": 0.3})
    case = random_case(ProgramCell(program))
    drawn = draw_noise(
        program, case.sizes, 200, 50, torch.float64, torch.device("cpu"), torch.Generator().manual_seed(1)
    )
    values = drawn["zoneout_h"]
    assert set(values.unique().tolist()) == {0.0, 1.0}
    assert float(values.mean()) == pytest.approx(0.3, abs=0.01)
    mean, _ = scan(case.cell, case.weights, case.xs)
    by_hand, _ = scan(
        case.cell, case.weights, case.xs, noise={"zoneout_h": torch.full((3, 5, 6), 0.3, dtype=torch.float64)}
    )
    assert_close([mean], [by_hand])
    _, last = scan(
        case.cell, case.weights, case.xs, case.state, noise={"zoneout_h": torch.ones(3, 5, 6, dtype=torch.float64)}
    )
    assert_close([*last], [*case.state])


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_double_backward(engine: str) -> None:
    case = random_case(cells.GRU(), batch=1, steps=2, inputs=2, hidden=2)

    def outputs(xs: torch.Tensor) -> torch.Tensor:
        return scan(case.cell, case.weights, xs, engine=engine)[0]

    assert torch.autograd.gradgradcheck(outputs, (case.xs,))


# torch 2.13's own decompositions for forward mode still import torch.jit.script
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_vmap_and_forward_mode_go_to_the_reference() -> None:
    case = random_case(cells.LSTM(), batch=4)
    whole, _ = scan(case.cell, case.weights, case.xs, engine="reference")
    used = []

    def one(row: torch.Tensor) -> torch.Tensor:
        used.append(explain(case.cell, case.weights, row.unsqueeze(0)).engine)
        return scan(case.cell, case.weights, row.unsqueeze(0))[0][0]

    assert_close([torch.vmap(one)(case.xs)], [whole])
    assert used == ["reference"]

    def outputs(xs: torch.Tensor) -> torch.Tensor:
        return scan(case.cell, case.weights, xs)[0].sum()

    tangent = torch.randn_like(case.xs)
    _, slope = torch.func.jvp(outputs, (case.xs.detach(),), (tangent,))
    (gradient,) = torch.autograd.grad(outputs(case.xs), case.xs)
    assert float(slope.detach()) == pytest.approx(float((gradient * tangent).sum()), rel=1e-9)
