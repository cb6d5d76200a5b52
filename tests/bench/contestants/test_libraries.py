"""Every library gives the reference's outputs, gradients and single steps, and says why where it cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from unrolled.bench.contestants import LIBRARIES, compiled_step, jax_scan
from unrolled.bench.problem import Problem, Shape
from unrolled.bench.recurrent import check, runs_of
from unrolled.cell import OPERATIONS, Cell, sigmoid, state, tanh
from unrolled.cells import SLSTM, by_name, names
from unrolled.errors import EngineError

SHAPE = Shape(steps=6, batch=3, input=4, hidden=7)
WITH_TWIN = ("lstm", "gru", "rnn", "rnn-relu")
OWN_ENGINES = ("compiled", "native", "reference")


@dataclass(frozen=True)
class Renamed(Cell):
    """A GRU with its gates in another order and under other names."""

    gates = ("new", "keep", "forget")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        keep = sigmoid(x.keep + u.keep)
        h = (1 - keep) * tanh(x.new + sigmoid(x.forget + u.forget) * u.new) + keep * s.h
        return h, self.next(h=h)


def problem(name: str, shape: Shape = SHAPE) -> Problem:
    return Problem.random(name, Renamed() if name == "renamed" else by_name(name), shape)


def agrees(library: str, found: Problem) -> None:
    assert LIBRARIES[library].refuse(found) is None
    built = {name: LIBRARIES[name].build(found) for name in (library, "reference")}
    for phase in ("forward", "training"):
        runs = runs_of(built, phase)
        if library in runs:
            answers = {name: built[name].read(run()) for name, run in runs.items()}
            assert len(answers[library]) == (1 if phase == "forward" else 2 + len(found.values))
            check(library, answers)


def steps_agree(library: str, name: str) -> None:
    found = problem(name, Shape(1, 1, 4, 16))
    make, reference = LIBRARIES[library].stepper, LIBRARIES["reference"].stepper
    assert make is not None
    assert reference is not None
    check(library, {library: (np.asarray(make(found)(5)),), "reference": (np.asarray(reference(found)(5)),)})


@pytest.mark.parametrize("name", [*WITH_TWIN, "renamed"])
@pytest.mark.parametrize("library", ["compiled", "native", "torch.nn"])
def test_with_and_without_lengths(library: str, name: str) -> None:
    found = problem(name)
    agrees(library, found)
    agrees(library, found.shortened(np.array([2, 6, 1])))


@pytest.mark.parametrize("library", ["compiled", "torch.nn"])
@pytest.mark.parametrize("name", WITH_TWIN)
def test_single_steps(library: str, name: str) -> None:
    steps_agree(library, name)


def test_what_torch_has_not_is_said() -> None:
    assert LIBRARIES["torch.nn"].refuse(problem("mgu")) == "it has no layer with the equations of MinimalGated"
    assert "none of the cells that torch has fused" in str(LIBRARIES["native"].refuse(problem("mgu")))
    assert LIBRARIES["compiled"].refuse(problem("mgu")) is None


def test_the_step_that_torch_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_step, "BACKEND", "aot_eager")  # all of it but the C++ compiler, which takes seconds
    agrees("torch.compile", problem("gru"))


def test_torch_compile_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = LIBRARIES["torch.compile"].refuse(problem("gru"))
    assert found == "it needs a C++ compiler, and there is no no-such-compiler here"


def test_a_compiler_that_fails_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no headers")

    monkeypatch.setattr(compiled_step, "BACKEND", fails)
    contestant = LIBRARIES["torch.compile"].build(problem("rnn"))
    with pytest.raises(EngineError, match=r"torch.compile failed here \(.*no headers"):
        contestant.forward()


@pytest.mark.parametrize("library", ["torch.compile", "jax", "onnxruntime"])
def test_lengths_are_refused(library: str) -> None:
    refused = LIBRARIES[library].refuse(problem("lstm").shortened(np.array([1, 2, 3])))
    assert refused is not None
    assert "lengths" in refused or "not installed" in refused


@pytest.mark.parametrize("name", ["jax", "onnxruntime"])
def test_a_library_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert LIBRARIES[name].refuse(problem("lstm")) == "not installed (pip install 'unrolled[peers]')"


@pytest.mark.parametrize("name", [*names(), "renamed"])
def test_jax_runs_every_cell(name: str) -> None:
    pytest.importorskip("jax")
    agrees("jax", problem(name))


def test_jax_knows_every_operation() -> None:
    pytest.importorskip("jax")
    assert set(jax_scan.table(*jax_scan.start())) == set(OPERATIONS)
    assert LIBRARIES["jax"].refuse(Problem.random("slstm", SLSTM(heads=2), Shape(3, 2, 4, 8))) is not None
    steps_agree("jax", "gru")


@pytest.mark.parametrize("name", [*WITH_TWIN, "renamed"])
def test_onnx_runtime(name: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    agrees("onnxruntime", problem(name))
    steps_agree("onnxruntime", name)
    assert LIBRARIES["onnxruntime"].refuse(problem("mgu")) is not None


def test_our_engines_are_all_there() -> None:
    assert set(OWN_ENGINES) < set(LIBRARIES)
