"""What a forecast says of each coming value, as nodes: a number, quantiles, or a distribution's parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled.export.to_onnx.graph import INT64, Array, Value
from unrolled.models.distributions import LEAST, Head
from unrolled.models.student import student_columns
from unrolled.tasks.forecast import ForecastTask


class Shown(ABC):
    """One kind of head. `values` are the outputs that are values of the line and not parameters."""

    values: Sequence[str] = ("centre", "quantiles")

    def __init__(self, head: Head, levels: Sequence[float]) -> None:
        self.head, self.levels = head, levels

    @property
    @abstractmethod
    def told(self) -> Mapping[str, Any]:
        """What the manifest says of the outputs, and of the parameters of a segment."""

    @abstractmethod
    def natural(self, parameters: Value, counted: Value | float) -> Value:
        """The network's numbers (B, H, size) as the parameters that they stand for."""

    @abstractmethod
    def ours_natural(self, raw: Tensor, counted: Tensor) -> Array:
        """The same by our own head."""

    @abstractmethod
    def outputs(self, parameters: Value, counted: Value) -> Iterator[tuple[str, Value, int]]:
        """Name, value (B, H, width) and width of each output of a direct forecast."""

    def ours(self, centre: Tensor, quantiles: Tensor, raw: Tensor, counted: Tensor) -> dict[str, Array]:
        """The outputs by our own network."""
        return {"centre": centre.numpy(), "quantiles": quantiles.numpy()}


def _positive(x: Value) -> Value:
    return x.graph.add("Softplus", x) + LEAST


def _ours_positive(x: Tensor) -> Tensor:
    return torch.nn.functional.softplus(x) + LEAST


class _Point(Shown):
    values = ("centre",)

    @property
    def told(self) -> Mapping[str, Any]:
        return {"parameters": ["value"]}

    def natural(self, parameters: Value, counted: Value | float) -> Value:
        return parameters

    def ours_natural(self, raw: Tensor, counted: Tensor) -> Array:
        return raw.numpy()

    def outputs(self, parameters: Value, counted: Value) -> Iterator[tuple[str, Value, int]]:
        yield "centre", parameters, 1

    def ours(self, centre: Tensor, quantiles: Tensor, raw: Tensor, counted: Tensor) -> dict[str, Array]:
        return {"centre": centre.numpy()}


class _Quantiles(Shown):
    @property
    def told(self) -> Mapping[str, Any]:
        return {"parameters": [f"quantile {level:g}" for level in self.levels]}

    def natural(self, parameters: Value, counted: Value | float) -> Value:
        g = parameters.graph
        return g.node("TopK", parameters, g.integers(self.head.size), count=2, axis=-1, largest=0, sorted=1)[0]

    def ours_natural(self, raw: Tensor, counted: Tensor) -> Array:
        return raw.sort(-1).values.numpy()

    def outputs(self, parameters: Value, counted: Value) -> Iterator[tuple[str, Value, int]]:
        ascending = self.natural(parameters, counted)
        for name, levels in (("centre", (0.5,)), ("quantiles", self.levels)):
            weights = parameters.graph.constant(self._weights(levels), f"weights of {name}")
            yield name, ascending @ weights, len(levels)

    def _weights(self, levels: Sequence[float]) -> Array:
        """How much of each learnt quantile a wanted one has, (L, W): it lies on the line through its neighbours."""
        known = np.array(self.levels)
        found = np.zeros((len(known), len(levels)), np.float32)
        if len(known) == 1:
            return found + np.float32(1)
        for column, level in enumerate(levels):
            low = int(np.clip(np.searchsorted(known, level) - 1, 0, len(known) - 2))
            share = (level - known[low]) / (known[low + 1] - known[low])
            found[low : low + 2, column] = 1 - share, share
        return found


class _Gaussian(Shown):
    @property
    def told(self) -> Mapping[str, Any]:
        return {"parameters": ["mean", "standard deviation"]}

    def natural(self, parameters: Value, counted: Value | float) -> Value:
        g = parameters.graph
        return g.add("Concat", parameters.cut(2, 0, 1), _positive(parameters.cut(2, 1)), axis=2)

    def ours_natural(self, raw: Tensor, counted: Tensor) -> Array:
        return torch.cat([raw[..., :1], _ours_positive(raw[..., 1:])], -1).numpy()

    def outputs(self, parameters: Value, counted: Value) -> Iterator[tuple[str, Value, int]]:
        g, mean = parameters.graph, parameters.cut(2, 0, 1)
        standard = torch.special.ndtri(torch.tensor(list(self.levels))).numpy()
        yield "centre", mean, 1
        yield "quantiles", mean + _positive(parameters.cut(2, 1)) * g.constant(standard, "standard"), len(self.levels)


class _StudentT(Shown):
    @property
    def told(self) -> Mapping[str, Any]:
        return {"parameters": ["location", "scale", "degrees of freedom"]}

    def natural(self, parameters: Value, counted: Value | float) -> Value:
        g = parameters.graph
        return g.add("Concat", *self._split(parameters), axis=2)

    def _split(self, parameters: Value) -> tuple[Value, Value, Value]:
        freedom = parameters.graph.add("Softplus", parameters.cut(2, 2)) + 2.01
        return parameters.cut(2, 0, 1), _positive(parameters.cut(2, 1, 2)), freedom

    def ours_natural(self, raw: Tensor, counted: Tensor) -> Array:
        freedom = 2.01 + torch.nn.functional.softplus(raw[..., 2:])
        return torch.cat([raw[..., :1], _ours_positive(raw[..., 1:2]), freedom], -1).numpy()

    def outputs(self, parameters: Value, counted: Value) -> Iterator[tuple[str, Value, int]]:
        g = parameters.graph
        location, scale, freedom = self._split(parameters)
        # Rows of the table are even in 1 / freedom from 0 to 1 / 2.
        table = student_columns(self.levels)
        place = g.add("Min", 1.0 / freedom, 0.5) * 2.0 * (len(table) - 1)
        low = g.add("Min", g.add("Floor", place), float(len(table) - 2))
        row, rows = low.cast(INT64).squeeze(2), g.constant(table.astype(np.float32), "student")
        first = g.add("Gather", rows, row, axis=0)
        second = g.add("Gather", rows, g.add("Add", row, g.integers(1)), axis=0)
        yield "centre", location, 1
        yield "quantiles", location + scale * (first + (place - low) * (second - first)), len(self.levels)


class _NegativeBinomial(Shown):
    values = ("centre",)

    @property
    def told(self) -> Mapping[str, Any]:
        return {
            "parameters": ["mean", "number"],
            "quantiles": "those of a negative binomial with `number` successes of probability "
            "number / (number + mean), in counts",
        }

    def natural(self, parameters: Value, counted: Value | float) -> Value:
        return parameters.graph.add("Concat", *self._split(parameters, counted), axis=2)

    def _split(self, parameters: Value, counted: Value | float) -> tuple[Value, Value]:
        return _positive(parameters.cut(2, 0, 1)) * counted, 1.0 / _positive(parameters.cut(2, 1))

    def ours_natural(self, raw: Tensor, counted: Tensor) -> Array:
        mean = _ours_positive(raw[..., :1]) * counted[..., None]
        return torch.cat([mean, 1 / _ours_positive(raw[..., 1:])], -1).numpy()

    def outputs(self, parameters: Value, counted: Value) -> Iterator[tuple[str, Value, int]]:
        mean, number = self._split(parameters, counted)
        yield "centre", mean / counted, 1
        yield "mean", mean, 1
        yield "number", number, 1

    def ours(self, centre: Tensor, quantiles: Tensor, raw: Tensor, counted: Tensor) -> dict[str, Array]:
        found = self.ours_natural(raw, counted)
        return {"centre": centre.numpy(), "mean": found[..., 0], "number": found[..., 1]}


_KINDS: dict[str, type[Shown]] = {
    "point": _Point,
    "quantiles": _Quantiles,
    "gaussian": _Gaussian,
    "student-t": _StudentT,
    "negative-binomial": _NegativeBinomial,
}


def shown_of(model: ForecastTask) -> Shown:
    """How the forecasts of a run are put out."""
    return _KINDS[model.distribution](model.module.head, model.levels)
