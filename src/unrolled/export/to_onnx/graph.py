"""An ONNX graph that is written like arithmetic: every value knows its graph, and an operation on it adds a node.

Only float32, int64, int32 and bool; operator set 18, which ONNX Runtime reads since 1.14.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unrolled import __version__
from unrolled.errors import ArgumentError, EngineError

if TYPE_CHECKING:
    from onnx import ModelProto

OPERATORS, FORMAT = 18, 8
FLOAT, INT64, INT32, BOOL, UINT8 = "FLOAT", "INT64", "INT32", "BOOL", "UINT8"
# A protocol buffer cannot be larger.
_LARGEST = 2**31 - 2**20
_MISSING = "export to ONNX needs onnx and onnxruntime, which are not installed; run \"pip install 'unrolled[export]'\"."

Array = npt.NDArray[Any]


def library(name: str = "onnx") -> Any:
    """The module `onnx` or `onnxruntime`; EngineError where it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise EngineError(_MISSING) from None


@dataclass(frozen=True)
class Value:
    """One value of a graph by its name; arithmetic with it adds nodes."""

    graph: Graph
    name: str

    def __add__(self, other: Any) -> Value:
        return self.graph.add("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.graph.add("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.graph.add("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.add("Sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self.graph.add("Mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.graph.add("Mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self.graph.add("Div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.graph.add("Div", other, self)

    def __matmul__(self, other: Any) -> Value:
        return self.graph.add("MatMul", self, other)

    def size(self, axis: int) -> Value:
        """The size of an axis as an array (1,) of int64."""
        return self.graph.add("Shape", self, start=axis, end=axis + 1)

    def reshape(self, *shape: int | Value) -> Value:
        """Another shape; 0 keeps an axis, -1 takes what is left, and a `size` may stand for a number."""
        return self.graph.add("Reshape", self, self.graph.shape(*shape))

    def expand(self, *shape: int | Value) -> Value:
        """Repeated to this shape."""
        return self.graph.add("Expand", self, self.graph.shape(*shape))

    def transpose(self, *order: int) -> Value:
        """The axes in another order."""
        return self.graph.add("Transpose", self, perm=list(order))

    def unsqueeze(self, axis: int) -> Value:
        """With a new axis of size 1."""
        return self.graph.add("Unsqueeze", self, self.graph.integers(axis))

    def squeeze(self, axis: int) -> Value:
        """Without an axis of size 1."""
        return self.graph.add("Squeeze", self, self.graph.integers(axis))

    def cut(self, axis: int, start: int, end: int | None = None) -> Value:
        """The places from `start` to before `end` of an axis."""
        end = np.iinfo(np.int64).max if end is None else end
        g = self.graph
        return g.add("Slice", self, g.integers(start), g.integers(end), g.integers(axis))

    def cast(self, kind: str) -> Value:
        """As another type of number."""
        return self.graph.add("Cast", self, to=getattr(library().TensorProto, kind))


class Graph:
    """Nodes, constants, inputs and outputs of one model; `body()` collects the nodes of a sub-graph.

    `int8` stores matrices as whole numbers with a scale for each row.
    """

    def __init__(self, name: str, *, int8: bool = False) -> None:
        self.name = name
        self.int8 = int8
        self.initializers: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._scopes: list[list[Any]] = [[]]
        self._taken: dict[str, int] = {}
        self._weights: dict[str, Value] = {}
        self._onnx = library()

    def add(self, kind: str, *inputs: Any, **attributes: Any) -> Value:
        """A node with one output; numbers among the inputs become constants, None is an input left out."""
        return self.node(kind, *inputs, count=1, **attributes)[0]

    def node(self, kind: str, *inputs: Any, count: int, **attributes: Any) -> list[Value]:
        """A node with `count` outputs."""
        names = [self.fresh(kind) for _ in range(count)]
        given = ["" if one is None else self.wrap(one).name for one in inputs]
        self._scopes[-1].append(self._onnx.helper.make_node(kind, given, names, name=names[0], **attributes))
        return [Value(self, name) for name in names]

    def wrap(self, value: Any) -> Value:
        """A value as it is, a number as a float32 constant."""
        return value if isinstance(value, Value) else self.constant(np.asarray(value, np.float32))

    def fresh(self, name: str) -> str:
        """A name that no other value has."""
        self._taken[name] = self._taken.get(name, 0) + 1
        count = self._taken[name]
        return name if count == 1 and "." in name else f"{name}_{count}"

    def constant(self, array: Array, name: str | None = None) -> Value:
        """An array that is kept in the file; equal numbers are kept once."""
        if name is None:
            name = f"{array.dtype}{list(array.shape)}{array.tolist()}" if array.size <= 8 else self.fresh("constant")
        if name not in self.initializers:
            self.initializers[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return Value(self, name)

    def integers(self, *values: int) -> Value:
        """A constant (N,) of int64."""
        return self.constant(np.array(values, np.int64))

    def shape(self, *sizes: int | Value) -> Value:
        """A shape of numbers and of sizes that are known when the model runs."""
        if all(isinstance(size, int) for size in sizes):
            return self.integers(*sizes)  # type: ignore[arg-type]  # all are
        return self.add("Concat", *(s if isinstance(s, Value) else self.integers(s) for s in sizes), axis=0)

    def weight(
        self, name: str, matrix: Array, shape: Sequence[int] = (), order: Sequence[int] = (), last: Sequence[int] = ()
    ) -> Value:
        """Weights (R, C) brought to `shape`, their axes to `order`, and that to the shape `last`; once for each name.

        With int8, rows are whole numbers from -127 to 127 and a scale, and the nodes that bring them to their form are
        those that every runtime folds when it loads the model.
        """
        key = f"{name} {shape} {order} {last}"
        if key not in self._weights:
            self._weights[key] = self._stored(name, matrix, shape, order, last)
        return self._weights[key]

    def _stored(
        self, name: str, matrix: Array, shape: Sequence[int], order: Sequence[int], last: Sequence[int]
    ) -> Value:
        matrix = np.asarray(matrix, np.float32)
        if not self.int8:
            for reshaped, axes in ((shape, order), (last, ())):
                matrix = matrix.reshape(reshaped) if len(reshaped) else matrix
                matrix = matrix.transpose(axes) if len(axes) else matrix
            return self.constant(matrix, self.fresh(f"{name}.") if name in self.initializers else name)
        # The nodes stand before any sub-graph that uses them, which would otherwise do their work in every step.
        inner, self._scopes = self._scopes, self._scopes[:1]
        found = self._whole_numbers(name, matrix)
        found = found.reshape(*shape) if len(shape) else found
        found = found.transpose(*order) if len(order) else found
        found = found.reshape(*last) if len(last) else found
        self._scopes = inner
        return found

    def _whole_numbers(self, name: str, matrix: Array) -> Value:
        if name not in self._weights:
            flat = matrix.reshape(len(matrix), -1)
            scale = row_scales(flat)
            whole = np.rint(flat / scale[:, None]).astype(np.int8)
            parts = (self.constant(whole, name), self.constant(scale, f"{name}.scale"))
            self._weights[name] = self.add("DequantizeLinear", *parts, axis=0).reshape(*matrix.shape)
        return self._weights[name]

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> Value:
        """An input; a name among the sizes stands for any number."""
        element = getattr(self._onnx.TensorProto, kind)
        self.inputs.append(self._onnx.helper.make_tensor_value_info(name, element, shape))
        return Value(self, name)

    def output(self, name: str, value: Value, kind: str, shape: Sequence[int | str]) -> None:
        """A result under its name."""
        self._scopes[-1].append(self._onnx.helper.make_node("Identity", [value.name], [name], name=f"to {name}"))
        element = getattr(self._onnx.TensorProto, kind)
        self.outputs.append(self._onnx.helper.make_tensor_value_info(name, element, shape))

    @contextmanager
    def body(self) -> Iterator[list[Any]]:
        """Nodes that are added meanwhile go into this list instead."""
        nodes: list[Any] = []
        self._scopes.append(nodes)
        try:
            yield nodes
        finally:
            self._scopes.pop()

    def model(self) -> ModelProto:
        """The finished model, passed by ONNX's checker and shape inference; ArgumentError where it is too large."""
        size = sum(len(tensor.raw_data) for tensor in self.initializers.values())
        if size > _LARGEST:
            raise ArgumentError(
                f"{self.name} has {size / 2**30:.1f} GiB of weights and an ONNX file holds 2; export it with int8."
            )
        helper, checker = self._onnx.helper, self._onnx.checker
        graph = helper.make_graph(
            self._scopes[0], self.name, self.inputs, self.outputs, list(self.initializers.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPERATORS)], ir_version=FORMAT,
            producer_name="unrolled", producer_version=__version__,
        )  # fmt: skip
        checker.check_model(model, full_check=True)
        inferred = self._onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        checker.check_model(inferred)
        return model  # type: ignore[no-any-return]  # onnx ships no types


def row_scales(matrix: Array) -> npt.NDArray[np.float32]:
    """For each row of (R, C) what one step of int8 means, so that its largest entry is 127 of them."""
    largest = np.abs(matrix).max(1, initial=0.0)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)
