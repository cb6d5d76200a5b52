"""A cell's program run by NumPy, an operation at a time: the reference of the kernels, and what runs without them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.cell import Leaves, Products, Program, Sizes, register_evaluator, run

Array = npt.NDArray[Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(a: Array) -> Array:
    found: Array = 0.5 * (1 + np.tanh(0.5 * a))
    return found


def _like(function: Callable[..., Any]) -> Callable[..., Any]:
    """Numbers beside arrays must not make float64 of them."""

    def apply(*values: Any) -> Any:
        like = next(value for value in values if isinstance(value, np.ndarray))
        return function(*values).astype(like.dtype, copy=False)

    return apply


NUMPY: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "erf": _like(_erf),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda a: np.maximum(a, 0),
    "softplus": lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))),
    "maximum": _like(np.maximum),
    "minimum": _like(np.minimum),
    "greater": _like(np.greater),
    "where": _like(lambda c, a, b: np.where(c != 0, a, b)),
    "mean": lambda a: np.broadcast_to(a.mean(-1, keepdims=True), a.shape),
}

register_evaluator(np.ndarray, NUMPY)


class Interpreter:
    """One direction of a layer with its weights; see `kernels.Kernels`, whose answers it gives, more slowly."""

    def __init__(self, program: Program, sizes: Sizes, named: Mapping[str, Array]) -> None:
        self.program, self.sizes, self.named = program, sizes, named

    def scan(
        self, xs: Array, state: tuple[Array, ...], lengths: npt.NDArray[np.int64] | None, *, reverse: bool
    ) -> tuple[Array, tuple[Array, ...]]:
        """From xs (B, T, F) and states (B, size) to outputs (B, T, O) and the last states; zero past a row's length."""
        rows, steps, _ = xs.shape
        outputs = np.zeros((rows, steps, self.sizes.of(self.program.output_width)), xs.dtype)
        for t in reversed(range(steps)) if reverse else range(steps):
            output, following = self._step(xs[:, t], state)
            alive = np.ones((rows, 1), bool) if lengths is None else (t < lengths)[:, None]
            outputs[:, t] = np.where(alive, output, 0)
            state = tuple(np.where(alive, new, old) for new, old in zip(following, state, strict=True))
        return outputs, state

    def _step(self, x: Array, state: tuple[Array, ...]) -> tuple[Any, list[Any]]:
        program, owner = self.program, self.program.name
        gates = x @ self.named["W"].T
        if "b" in self.named:
            gates = gates + self.named["b"]
        values = run(
            program,
            Leaves(owner, "x", dict(zip(program.gates, np.split(gates, len(program.gates), 1), strict=True))),
            Products(owner, (*program.gates, *program.products), state[0], self._multiply),
            Leaves(owner, "s", dict(zip(program.state, state, strict=True))),
            Leaves(owner, "p", {name: self.named[f"vectors.{name}"] for name in program.vectors}),
        )
        return values[program.output], [values[i] for i in program.next]

    def _multiply(self, name: str, operand: Array) -> Array:
        program, hidden = self.program, self.sizes.hidden
        if name in program.products:
            product: Array = operand @ self.named[f"products.{name}"].T
            return product
        place = list(program.recurrent).index(name)
        matrix = self.named["U"][place * hidden : (place + 1) * hidden]
        product = operand @ dense(matrix, program.heads).T
        if name in program.recurrent_biased and "c" in self.named:
            place = program.recurrent_biased.index(name)
            product = product + self.named["c"][place * hidden : (place + 1) * hidden]
        return product


def dense(blocks: Array, heads: int) -> Array:
    """Stacked blocks (n, m) as the dense matrix (n, heads * m) whose diagonal they are."""
    if heads == 1:
        return blocks
    height, width = blocks.shape[0] // heads, blocks.shape[1]
    matrix = np.zeros((blocks.shape[0], heads * width), blocks.dtype)
    for head in range(heads):
        rows = slice(head * height, (head + 1) * height)
        matrix[rows, head * width : (head + 1) * width] = blocks[rows]
    return matrix
