from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unrolled as ur
from unrolled import cells
from unrolled.cell import OPERATIONS, trace
from unrolled.cell.regularisation import Regularisation
from unrolled.engine.reference import TORCH
from unrolled.errors import ArgumentError, EngineError, RunError
from unrolled.layers import map_state
from unrolled.runtime import kernels, recurrent
from unrolled.runtime.interpreter import NUMPY
from unrolled.runtime.recurrent import BoundStepper, Recurrent, Shape, Stepper
from unrolled.runtime.weights import Weights
from unrolled.train.weights import named_weights

RATES = Regularisation(layer_norm=True, zoneout=0.2, recurrent_dropout=0.1)
PLAIN = Regularisation()


def pair(
    name: str, hidden: int = 20, engine: str = "auto", *, layers: int = 1, both: bool = False,
    rates: Regularisation = PLAIN,
) -> tuple[ur.Recurrent, Recurrent]:  # fmt: skip
    """The same layers in torch and here, with random weights."""
    torch.manual_seed(4)
    theirs = ur.Recurrent(cells.by_name(name), 5, hidden, layers=layers, bidirectional=both, regularisation=rates)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    arrays = {name: tensor.detach().numpy() for name, tensor in named_weights(theirs).items()}
    shape = Shape(trace(cells.by_name(name)), 5, hidden, layers, both, rates, engine)
    weights = Weights(arrays, "the run")
    ours = Recurrent(shape, weights)
    weights.check_all_taken()
    return theirs.eval(), ours


def inputs(rows: int, steps: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, steps, 5)).astype(np.float32)


@torch.no_grad()
def compare(theirs: ur.Recurrent, ours: Recurrent, x: npt.NDArray[np.float32], lengths: Any = None) -> None:
    rng = np.random.default_rng(9)
    start = map_state(lambda part: torch.from_numpy(rng.random(part.shape, np.float32)), theirs.initial_state(len(x)))
    arrays = tuple(tuple(tuple(part.numpy() for part in one) for one in layer) for layer in start)
    wanted, last = theirs(torch.from_numpy(x), start, lengths=None if lengths is None else torch.tensor(lengths))
    found, state = ours(x, arrays, lengths=None if lengths is None else np.array(lengths))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5, rtol=1e-5)
    for layer, known in zip(state, last, strict=True):
        for direction, parts in zip(layer, known, strict=True):
            for mine, other in zip(direction, parts, strict=True):
                np.testing.assert_allclose(mine, other.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
@pytest.mark.parametrize("name", cells.names())
def test_every_cell_gives_torchs_answers(name: str, engine: str) -> None:
    theirs, ours = pair(name, engine=engine, layers=2, both=True)
    compare(theirs, ours, inputs(5, 7), [7, 0, 3, 7, 1])
    compare(theirs, ours, inputs(2, 3, seed=1))


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_what_training_dropped_counts_with_its_mean(engine: str) -> None:
    theirs, ours = pair("lstm", engine=engine, layers=2, rates=RATES)
    compare(theirs, ours, inputs(3, 4))


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_step_by_step(name: str) -> None:
    theirs, ours = pair(name, layers=2)
    x, stepper = inputs(1, 6), ours.stepper()
    assert isinstance(stepper, BoundStepper)
    wanted, last = ours(x)
    found = np.stack([stepper(row).copy() for row in x[0]])
    np.testing.assert_allclose(found, wanted[0], atol=1e-5, rtol=1e-5)
    # Its state goes on elsewhere, and in torch.
    state = stepper.state()
    other = ours.stepper()
    other.put(state)
    np.testing.assert_array_equal(other(x[0, 0]).copy(), stepper(x[0, 0]))
    for layer, known in zip(state, last, strict=True):
        for mine, known_part in zip(layer[0], known[0], strict=True):
            np.testing.assert_allclose(mine, known_part, atol=1e-5, rtol=1e-5)
    compare(theirs, ours, x)


@settings(max_examples=12)
@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["lstm", "gru", "rnn-relu"]))
    theirs, ours = pair(name, data.draw(st.sampled_from([1, 16, 33])), both=data.draw(st.booleans()))
    rows, steps = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 5))
    lengths = data.draw(st.lists(st.integers(0, steps), min_size=rows, max_size=rows) | st.none())
    if rows:
        compare(theirs, ours, inputs(rows, steps), lengths)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ours = pair("lstm", 33)
    x, lengths = inputs(50, 9), np.arange(50) % 10
    alone, last = ours(x, lengths=lengths)
    monkeypatch.setattr(kernels, "_WORTH_A_THREAD", 1_000)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    shared, after = ours(x, lengths=lengths)
    np.testing.assert_array_equal(alone, shared)
    np.testing.assert_array_equal(last[0][0][1], after[0][0][1])


def test_a_step_reads_rows_of_a_table_where_they_lie() -> None:
    _, ours = pair("gru", layers=2)
    first = ours.layers[0].directions[0]
    assert isinstance(first, kernels.Kernels)
    table = inputs(1, 6)[0]
    plain, direct, multiplied = ours.stepper(), ours.stepper(), ours.stepper()
    direct.bind(table)
    multiplied.bind(table, table @ first.input_matrix.T)
    for row in (3, 0, 3, 5):
        wanted = plain(table[row]).copy()
        np.testing.assert_array_equal(direct.row(row), wanted)
        np.testing.assert_allclose(multiplied.row(row), wanted, atol=1e-6)


def test_layers_with_a_norm_between_them_are_stepped_too() -> None:
    _, ours = pair("lstm", layers=2, rates=RATES)
    stepper, x = ours.stepper(), inputs(1, 4)
    assert type(stepper) is Stepper
    stepper.bind(x[0])
    found = np.stack([stepper.row(k).copy() for k in range(4)])
    np.testing.assert_allclose(found, ours(x)[0][0], atol=1e-6)


def test_numpy_computes_every_operation_of_the_table() -> None:
    assert set(NUMPY) == set(OPERATIONS)
    a = np.random.default_rng(0).uniform(0.1, 2, (2, 3)).astype(np.float32)
    for name, function in NUMPY.items():
        found = function(*[a, 0.5 * a, a + 1][: OPERATIONS[name].arity])
        assert found.dtype == np.float32, name
        torchs = [torch.from_numpy(part) for part in (a, 0.5 * a, a + 1)][: OPERATIONS[name].arity]
        wanted = TORCH[name](*torchs)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-6, atol=1e-6, err_msg=name)


def test_without_kernels_numpy_runs_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise EngineError("LLVM cannot compile for abacus here (no such target).")

    monkeypatch.setattr(recurrent, "Kernels", fail)
    recurrent._tell_once.cache_clear()
    theirs, ours = pair("lstm")
    compare(theirs, ours, inputs(3, 4))
    (said,) = caplog.messages
    assert said.startswith("the layers are run by NumPy, which is slower") and "abacus" in said
    with pytest.raises(EngineError, match="abacus"):
        pair("lstm", engine="compiled")
    with pytest.raises(ArgumentError, match="engine is 'gpu', it must be one of auto, compiled, numpy"):
        pair("lstm", engine="gpu")


def test_two_directions_have_no_steps() -> None:
    _, ours = pair("lstm", both=True)
    with pytest.raises(ArgumentError, match="this run reads in both directions, so it needs the whole input"):
        ours.stepper()


def test_weights_are_asked_for_by_name_and_shape() -> None:
    weights = Weights({"a.W": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.float32)}, "the run")
    assert weights.under("a").take("W", 2, 3).shape == (2, 3)
    with pytest.raises(RunError, match=r"the run: b in weights.safetensors is \(2,\), the network needs not used"):
        weights.check_all_taken()
    with pytest.raises(RunError, match=r"a\.W in weights\.safetensors is \(2, 3\), the network needs \(3, 2\)"):
        weights.take("a.W", 3, 2)
    with pytest.raises(RunError, match=r"a\.U in weights\.safetensors is missing, the network needs \(1,\); copy"):
        weights.under("a").take("U", 1)
