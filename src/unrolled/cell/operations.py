"""The operation table: everything a cell may compute from one step to the next, a row an operation.

A row knows its derivative (written with the same operations) and how it is printed. Each engine and exporter owns a map
from these names to its own instructions; a test demands that the map covers the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unrolled.cell.functions import cos, exp, greater, mean, sigmoid, sin, where

ATOM, PREFIX, TERM, SUM = 4, 3, 2, 1


@dataclass(frozen=True)
class Operation:
    """One row: `gradient(d, y, *arguments)` gives dL/d(argument) for each, where d = dL/dy (None: no gradient)."""

    name: str
    arity: int
    gradient: Callable[..., tuple[Any, ...]]
    text: str
    latex: str
    precedence: int = ATOM
    commutative: bool = False


def _select(d: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Gradient of maximum: to the larger, half each where both are equal, as torch has it."""
    first = where(greater(a, b), 1.0, where(greater(b, a), 0.0, 0.5))
    return d * first, d * (1.0 - first)


def _select_smaller(d: Any, a: Any, b: Any) -> tuple[Any, Any]:
    first, second = _select(d, a, b)
    return second, first


def _function(name: str, gradient: Callable[..., tuple[Any, ...]], text: str, latex: str, arity: int = 1) -> Operation:
    slots = ", ".join(f"{{{i}}}" for i in range(arity))
    return Operation(name, arity, gradient, f"{text}({slots})", f"{latex}\\left({slots}\\right)")


_ROWS = (
    Operation("add", 2, lambda d, y, a, b: (d, d), "{0} + {1}", "{0} + {1}", SUM, commutative=True),
    Operation("sub", 2, lambda d, y, a, b: (d, -d), "{0} - {1}", "{0} - {1}", SUM),
    Operation("mul", 2, lambda d, y, a, b: (d * b, d * a), "{0} ⊙ {1}", "{0} \\odot {1}", TERM, commutative=True),
    Operation("div", 2, lambda d, y, a, b: (d / b, -(d * y / b)), "{0} / {1}", "\\frac{{{0}}}{{{1}}}", TERM),
    Operation("neg", 1, lambda d, y, a: (-d,), "-{0}", "-{0}", PREFIX),
    Operation("abs", 1, lambda d, y, a: (d * (greater(a, 0.0) - greater(0.0, a)),), "|{0}|", "\\left|{0}\\right|"),
    _function("exp", lambda d, y, a: (d * y,), "exp", "\\exp"),
    _function("log", lambda d, y, a: (d / a,), "log", "\\log"),
    Operation("sqrt", 1, lambda d, y, a: (d * 0.5 / y,), "√({0})", "\\sqrt{{{0}}}"),
    _function("sin", lambda d, y, a: (d * cos(a),), "sin", "\\sin"),
    _function("cos", lambda d, y, a: (-(d * sin(a)),), "cos", "\\cos"),
    _function("erf", lambda d, y, a: (d * (2.0 / math.sqrt(math.pi)) * exp(-(a * a)),), "erf", "\\operatorname{{erf}}"),
    _function("tanh", lambda d, y, a: (d * (1.0 - y * y),), "tanh", "\\tanh"),
    _function("sigmoid", lambda d, y, a: (d * y * (1.0 - y),), "σ", "\\sigma"),
    _function("relu", lambda d, y, a: (d * greater(y, 0.0),), "relu", "\\operatorname{{relu}}"),
    _function("softplus", lambda d, y, a: (d * sigmoid(a),), "softplus", "\\operatorname{{softplus}}"),
    _function("maximum", lambda d, y, a, b: _select(d, a, b), "max", "\\max", 2),
    _function("minimum", lambda d, y, a, b: _select_smaller(d, a, b), "min", "\\min", 2),
    Operation("greater", 2, lambda d, y, a, b: (None, None), "[{0} > {1}]", "\\left[{0} > {1}\\right]"),
    _function(
        "where", lambda d, y, c, a, b: (None, where(c, d, 0.0), where(c, 0.0, d)), "where", "\\operatorname{{where}}", 3
    ),
    _function("mean", lambda d, y, a: (mean(d),), "mean", "\\operatorname{{mean}}"),
)

OPERATIONS: dict[str, Operation] = {row.name: row for row in _ROWS}
