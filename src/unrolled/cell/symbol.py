"""Symbols that stand for tensors while a cell's `update` is run once to learn its equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unrolled.errors import CellError


@dataclass(frozen=True)
class Node:
    """One value of a step: an operation on earlier nodes, a leaf with a name, or a constant."""

    operation: str
    arguments: tuple[int, ...] = ()
    name: str | None = None
    value: float | None = None


@dataclass
class Builder:
    """Collects nodes; a node that is already there is not made twice."""

    nodes: list[Node] = field(default_factory=list)
    _index: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index = {node: i for i, node in enumerate(self.nodes)}

    def add(self, node: Node) -> Symbol:
        index = self._index.get(node)
        if index is None:
            index = self._index[node] = len(self.nodes)
            self.nodes.append(node)
        return Symbol(self, index)

    def constant(self, value: float) -> Symbol:
        if not math.isfinite(value):
            raise CellError(f"the constant {value} stands in a cell's equations, which need finite numbers.")
        return self.add(Node("constant", value=float(value)))

    def apply(self, operation: str, arguments: Sequence[Any]) -> Symbol:
        return self.add(Node(operation, tuple(self.wrap(a, operation).index for a in arguments)))

    def wrap(self, value: Any, operation: str = "update") -> Symbol:
        if isinstance(value, Symbol):
            if value.builder is not self:
                raise CellError("a value of another trace was used in a cell's equations; compute it inside update.")
            return value
        if isinstance(value, (int, float)):
            return self.constant(value)
        if getattr(value, "ndim", None) == 0 and not hasattr(value, "requires_grad"):
            return self.constant(float(value))
        raise CellError(
            f"{operation} was given a {type(value).__name__}, but the equations of a cell may only use gates, states, "
            "vectors and plain numbers; declare it in `vectors` or make it a field of the cell."
        )


class Symbol:
    """A value of one time step, not yet computed; arithmetic on it records what is to be done."""

    __slots__ = ("builder", "index")
    __hash__ = object.__hash__

    def __init__(self, builder: Builder, index: int) -> None:
        self.builder, self.index = builder, index

    def _binary(self, operation: str, left: Any, right: Any) -> Symbol:
        return self.builder.apply(operation, (left, right))

    def __add__(self, other: Any) -> Symbol:
        return self._binary("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return self._binary("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return self._binary("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._binary("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self._binary("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return self._binary("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return self._binary("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._binary("div", other, self)

    def __neg__(self) -> Symbol:
        return self.builder.apply("neg", (self,))

    def __abs__(self) -> Symbol:
        return self.builder.apply("abs", (self,))

    def __gt__(self, other: Any) -> Symbol:
        return self._binary("greater", self, other)

    def __lt__(self, other: Any) -> Symbol:
        return self._binary("greater", other, self)

    def __pow__(self, exponent: Any) -> Symbol:
        if exponent == 0.5:
            return self.builder.apply("sqrt", (self,))
        if isinstance(exponent, int) and 1 <= exponent <= 8:
            half = self if exponent == 1 else self ** (exponent // 2)
            return half if exponent == 1 else half * half * self if exponent % 2 else half * half
        raise CellError(
            f"a power of {exponent} was used in a cell, which may use 0.5 and 1 to 8; write exp(a * log(x))."
        )

    def __matmul__(self, other: Any) -> Symbol:
        raise CellError(
            "a matrix product `@` was used in a cell; write u.k, u('k', operand) or declare it in `products`."
        )

    __rmatmul__ = __matmul__

    def __bool__(self) -> bool:
        raise CellError(
            "update branches on the value of a symbol; use where(condition, a, b), which both engines can run."
        )

    def __float__(self) -> float:
        raise CellError("update turns a symbol into a Python number; use the functions of unrolled.cell or of torch.")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        function = foreign(name)
        return lambda *args, **kwargs: function(self, *args, **kwargs)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return call_foreign(getattr(func, "__name__", str(func)), args, kwargs or {})

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        return call_foreign(ufunc.__name__, args, kwargs)


# Filled by functions.py: how other libraries call the operations of our table.
FOREIGN: dict[str, Callable[..., Any]] = {}


def foreign(name: str) -> Callable[..., Any]:
    """Our function for another library's name of it; CellError where the operation table has none."""
    if name not in FOREIGN:
        raise CellError(f"{name} is not an operation that a cell may use; there are {', '.join(sorted(FOREIGN))}.")
    return FOREIGN[name]


def call_foreign(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call our function for another library's; CellError for arguments that it does not have."""
    function = foreign(name)
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise CellError(
            f"{name} was called in a cell with arguments that its equations cannot express ({error})."
        ) from None
