"""Reads printed equations back as arithmetic, to compare what is printed with what is computed."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from batteries.random_case import RandomCase

ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _pair(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    return lambda a, b: function(torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "σ": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "log": torch.log,
    "relu": torch.relu,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "abs": torch.abs,
    "max": _pair(torch.maximum),
    "min": _pair(torch.minimum),
    "where": lambda c, a, b: torch.where(c != 0, a, b),
    "softplus": lambda a: torch.log1p(torch.exp(-a.abs())) + torch.clamp(a, min=0),
    "mean": lambda a: a.mean(-1, keepdim=True),
}


def evaluate(text: str, case: RandomCase) -> dict[str, Tensor]:
    """Left sides of the equations with their values."""
    known: dict[str, Any] = {}
    for name, value in zip(case.program.state, case.state, strict=True):
        known[f"{name}[t-1]"] = value
    for name in case.program.vectors:
        known[name] = case.named[f"vectors.{name}"]
    known |= {name: noise.mean for name, noise in case.program.noise.items()}
    for line in text.splitlines():
        left, _, right = line.partition(" = ")
        known[left] = _value(ast.parse(_python(right), mode="eval").body, known, case)
    return known


def _python(text: str) -> str:
    """The text in Python's notation: `U_i h` is a product, `⊙` a multiplication, `h[t-1]` a name."""
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text.replace("⊙", "*").replace("√", "sqrt"))
    text = re.sub(r"(\w+)\[t(-1)?\]", lambda m: f"{m[1]}__{'old' if m[2] else 'new'}", text)
    text = re.sub(r"\b([WUP]_\w+) (?=[\w(])", r"\1 @ ", text)
    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?(?:e-?\d+)?) (?=[a-zA-Zσ(])", r"\1 * ", text)


def _value(node: ast.expr, known: dict[str, Any], case: RandomCase) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return (
            known[node.id.replace("__old", "[t-1]").replace("__new", "[t]")]
            if "_" not in node.id
            else _named(node.id, known, case)
        )
    if isinstance(node, ast.List) and isinstance(node.elts[0], ast.Compare):  # [a > b]: 1 where it holds, else 0
        compare = node.elts[0]
        return (_value(compare.left, known, case) > _value(compare.comparators[0], known, case)).double()
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, known, case)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return FUNCTIONS[node.func.id](*(_value(a, known, case) for a in node.args))
    assert isinstance(node, ast.BinOp), ast.dump(node)
    if isinstance(node.op, ast.MatMult):
        assert isinstance(node.left, ast.Name)
        return _product(node.left.id, node.right, known, case)
    left, right = _value(node.left, known, case), _value(node.right, known, case)
    return ARITHMETIC[type(node.op)](left, right)


def _named(name: str, known: dict[str, Any], case: RandomCase) -> Any:
    plain = name.replace("__old", "[t-1]").replace("__new", "[t]")
    if plain in known:
        return known[plain]
    kind, _, gate = name.partition("_")
    hidden, program = case.sizes.hidden, case.program
    index = list(program.gates if kind == "b" else program.recurrent_biased).index(gate)
    return case.named[kind][index * hidden : (index + 1) * hidden]


def _product(name: str, operand: ast.expr, known: dict[str, Any], case: RandomCase) -> Tensor:
    kind, _, gate = name.partition("_")
    hidden, program = case.sizes.hidden, case.program
    if kind == "W":
        index = program.gates.index(gate)
        return case.xs[:, 0] @ case.named["W"][index * hidden : (index + 1) * hidden].mT
    value = _value(operand, known, case)
    if kind == "P":
        return value @ case.named[f"products.{gate}"].mT
    index = list(program.recurrent).index(gate)
    rows = case.named["U"][index * hidden : (index + 1) * hidden]
    return value @ torch.block_diag(*rows.chunk(program.heads)).mT
