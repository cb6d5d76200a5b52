"""The operation table in ONNX: what a cell computes, as nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unrolled.export.to_onnx.graph import BOOL, FLOAT, Value


def _one(kind: str) -> Callable[[Value], Value]:
    return lambda a: a.graph.add(kind, a)


def _two(kind: str) -> Callable[[Any, Any], Value]:
    return lambda a, b: (a if isinstance(a, Value) else b).graph.add(kind, a, b)


def _greater(a: Any, b: Any) -> Value:
    return _two("Greater")(a, b).cast(FLOAT)


def _where(condition: Any, a: Any, b: Any) -> Value:
    graph = next(v for v in (condition, a, b) if isinstance(v, Value)).graph
    return graph.add("Where", graph.wrap(condition).cast(BOOL), a, b)


def _mean(a: Value) -> Value:
    # The one number of a row is used with others, which repeat it for every unit.
    return a.graph.add("ReduceMean", a, a.graph.integers(-1), keepdims=1)


ONNX: dict[str, Callable[..., Value]] = {
    "add": _two("Add"),
    "sub": _two("Sub"),
    "mul": _two("Mul"),
    "div": _two("Div"),
    "neg": _one("Neg"),
    "abs": _one("Abs"),
    "exp": _one("Exp"),
    "log": _one("Log"),
    "sqrt": _one("Sqrt"),
    "sin": _one("Sin"),
    "cos": _one("Cos"),
    "erf": _one("Erf"),
    "tanh": _one("Tanh"),
    "sigmoid": _one("Sigmoid"),
    "relu": _one("Relu"),
    "softplus": _one("Softplus"),
    "maximum": _two("Max"),
    "minimum": _two("Min"),
    "greater": _greater,
    "where": _where,
    "mean": _mean,
}
