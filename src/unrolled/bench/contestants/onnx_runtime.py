"""ONNX Runtime on ONNX's own LSTM, GRU and RNN nodes; it does not train."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch

from unrolled.bench.contestants import twin as twins
from unrolled.bench.contestants.library import Contestant, Library, Stepper
from unrolled.bench.contestants.twin import Twin
from unrolled.bench.problem import Problem

OPERATORS, FORMAT = 22, 10
STATES = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}


def _refuse(problem: Problem) -> str | None:
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        return "not installed (pip install 'unrolled[peers]')"
    if problem.lengths is not None:
        return "rows of different lengths are not written for it here"
    return twins.refuse(problem)


def _build(problem: Problem) -> Contestant:
    session, (inputs, *_) = _session(problem)
    given = {inputs: np.ascontiguousarray(problem.xs.transpose(1, 0, 2))} | _zeros(problem, problem.shape.batch)

    def forward() -> Any:
        return session.run(["outputs"], given)

    return Contestant(forward, None, lambda answer: (answer[0][:, 0].transpose(1, 0, 2),))


def _stepper(problem: Problem) -> Stepper:
    session, (inputs, *states) = _session(problem)
    following = [f"next {name.removeprefix('first ')}" for name in states]
    x, zeros = np.ascontiguousarray(problem.xs[:1, :1]), _zeros(problem, 1)

    def steps(count: int) -> Any:
        given = {inputs: x} | zeros
        for _ in range(count):
            given = {inputs: x} | dict(zip(states, session.run(following, given), strict=True))
        return given["first h"][0]

    return steps


def _zeros(problem: Problem, rows: int) -> dict[str, np.ndarray]:
    names = STATES[_twin(problem).kind]
    return {f"first {name}": np.zeros((1, rows, problem.shape.hidden), np.float32) for name in names}


def _session(problem: Problem) -> tuple[Any, list[str]]:
    """The model in a session with as many threads as torch has, and the names of its inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(_model(_twin(problem)), options, providers=["CPUExecutionProvider"])
    return session, [given.name for given in session.get_inputs()]


def _model(found: Twin) -> bytes:
    """One recurrent node with its weights: inputs (T, B, F) and first states, outputs (T, 1, B, H) and last states."""
    from onnx import TensorProto, helper, numpy_helper

    hidden = found.problem.shape.hidden
    matrix, recurrent, b, c = found.weights("onnx")
    constants = {"W": matrix[None], "R": recurrent[None], "B": np.concatenate([b, c])[None]}
    states = STATES[found.kind]
    first, last = [f"first {name}" for name in states], [f"next {name}" for name in states]
    attributes: dict[str, Any] = {"GRU": {"linear_before_reset": 1}, "LSTM": {}}.get(
        found.kind, {"activations": [{"rnn_tanh": "Tanh", "rnn_relu": "Relu"}.get(found.function, "")]}
    )
    node = helper.make_node(
        found.kind, ["inputs", *constants, "", *first], ["outputs", *last], hidden_size=hidden, **attributes
    )

    def tensor(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        "layer",
        [tensor("inputs", "T", "B", found.problem.shape.input), *(tensor(name, 1, "B", hidden) for name in first)],
        [tensor("outputs", "T", 1, "B", hidden), *(tensor(name, 1, "B", hidden) for name in last)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPERATORS)], ir_version=FORMAT)
    data: bytes = model.SerializeToString()
    return data


def _twin(problem: Problem) -> Twin:
    found = twins.twin(problem)
    assert found is not None  # noqa: S101  # for the type checker: `refuse` was asked first
    return found


LIBRARY = Library(_refuse, _build, _stepper)
