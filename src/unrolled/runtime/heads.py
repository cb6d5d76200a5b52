"""What a forecast says of each coming value, of the parameters that a network puts out; see `models.distributions`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError
from unrolled.models.student import student_table
from unrolled.runtime.weights import Array

_LEAST = np.float32(1e-4)
_DRAWS = 400
_normal = np.vectorize(NormalDist().inv_cdf, otypes=[np.float32])


class Head(ABC):
    """Of parameters (..., size), of which the first `located` have the network's location added."""

    size: int
    located: int = 1
    counts: bool = False

    def at(self, scale: Array) -> Head:
        """The same for windows (B, 1) whose values were divided by `scale`; only counts need to know."""
        return self

    @abstractmethod
    def quantiles(self, parameters: Array, levels: Sequence[float]) -> Array:
        """The value that is not exceeded with each probability: (..., len(levels)), ascending."""

    def centre(self, parameters: Array) -> Array:
        """The one number that stands for the forecast, (...)."""
        return parameters[..., 0]

    @abstractmethod
    def draw(self, parameters: Array, rank: Array) -> Array:
        """A value (...) for each uniform random number in `rank` (...)."""


class Point(Head):
    """One number, the mean."""

    size = 1

    def quantiles(self, parameters: Array, levels: Sequence[float]) -> Array:
        return np.broadcast_to(parameters, (*parameters.shape[:-1], len(levels)))

    def draw(self, parameters: Array, rank: Array) -> Array:
        return parameters[..., 0]


class Quantiles(Head):
    """Quantiles at levels; between them, and beyond the outermost, on straight lines."""

    def __init__(self, levels: Sequence[float]) -> None:
        if not levels or any(not 0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
            raise ArgumentError(f"quantiles {list(levels)} do not ascend between 0 and 1")
        self.levels = np.array(levels, np.float32)
        self.size = self.located = len(levels)

    def quantiles(self, parameters: Array, levels: Sequence[float]) -> Array:
        ranks = np.broadcast_to(np.array(levels, np.float32), (*parameters.shape[:-1], len(levels)))
        return self._between(np.sort(parameters, -1), ranks)

    def centre(self, parameters: Array) -> Array:
        return self.quantiles(parameters, (0.5,))[..., 0]

    def draw(self, parameters: Array, rank: Array) -> Array:
        return self._between(np.sort(parameters, -1), rank[..., None])[..., 0]

    def _between(self, values: Array, ranks: Array) -> Array:
        known = self.levels
        if len(known) == 1:
            return np.broadcast_to(values, ranks.shape)
        place = np.clip(np.searchsorted(known, ranks) - 1, 0, len(known) - 2)
        low, high = (np.take_along_axis(values, at, -1) for at in (place, place + 1))
        found: Array = low + (high - low) * (ranks - known[place]) / (known[place + 1] - known[place])
        return found


class Gaussian(Head):
    """Normal with mean and deviation."""

    size = 2

    def quantiles(self, parameters: Array, levels: Sequence[float]) -> Array:
        found: Array = parameters[..., :1] + _positive(parameters[..., 1:]) * _normal(levels)
        return found

    def draw(self, parameters: Array, rank: Array) -> Array:
        found: Array = parameters[..., 0] + _positive(parameters[..., 1]) * _normal(rank)
        return found


class StudentT(Head):
    """Student's t with location, scale and 2 + softplus degrees of freedom."""

    size = 3

    def quantiles(self, parameters: Array, levels: Sequence[float]) -> Array:
        ranks = np.broadcast_to(np.array(levels, np.float32), (*parameters.shape[:-1], len(levels)))
        return self._at(parameters[..., None, :], ranks)

    def draw(self, parameters: Array, rank: Array) -> Array:
        return self._at(parameters, rank)

    def _at(self, parameters: Array, rank: Array) -> Array:
        freedom = np.float32(2.01) + _softplus(parameters[..., 2])
        return parameters[..., 0] + _positive(parameters[..., 1]) * _student_quantile(freedom, rank)


class NegativeBinomial(Head):
    """Counts of mean m and variance m + a m^2; quantiles are those of draws, which are not the ones torch makes."""

    size = 2
    counts = True

    def __init__(self, scale: Array | None = None) -> None:
        self.scale: Array = np.ones((1, 1), np.float32) if scale is None else scale

    def at(self, scale: Array) -> Head:
        return NegativeBinomial(scale)

    def quantiles(self, parameters: Array, levels: Sequence[float]) -> Array:
        draws = self._drawn(parameters, np.random.default_rng(0), (_DRAWS,))
        found = np.quantile(draws, levels, axis=0, method="nearest").astype(np.float32)
        shown: Array = np.moveaxis(found, 0, -1) / self.scale[..., None]
        return shown

    def centre(self, parameters: Array) -> Array:
        return self._split(parameters)[0] / self.scale

    def draw(self, parameters: Array, rank: Array) -> Array:
        rng = np.random.default_rng(int(abs(rank.sum(dtype=np.float64)) * 1e6) % 2**31)
        return self._drawn(parameters, rng, ()).astype(np.float32) / self.scale

    def _drawn(self, parameters: Array, rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        mean, number = (part.astype(np.float64) for part in self._split(parameters))
        return rng.poisson(rng.gamma(number, mean / number, (*shape, *mean.shape)))

    def _split(self, parameters: Array) -> tuple[Array, Array]:
        number: Array = np.reciprocal(_positive(parameters[..., 1]))
        return _positive(parameters[..., 0]) * self.scale, number


def head_of(kind: str, levels: Sequence[float]) -> Head:
    """The head of that name; ArgumentError for an unknown one or bad levels."""
    quantiles = Quantiles(levels)
    heads: dict[str, Head] = {
        "quantiles": quantiles,
        "point": Point(),
        "gaussian": Gaussian(),
        "student-t": StudentT(),
        "negative-binomial": NegativeBinomial(),
    }
    if kind not in heads:
        raise ArgumentError(f"the distribution {kind!r} is not known")
    return heads[kind]


def _softplus(x: Array) -> Array:
    found: Array = np.logaddexp(x, np.float32(0))
    return found


def _positive(x: Array) -> Array:
    return _softplus(x) + _LEAST


def _student_quantile(freedom: Array, rank: Array) -> Array:
    """Quantile of Student's t by interpolation in 1 / freedom and rank, both within the table's range."""
    inverse, ranks, table = (part.astype(np.float32) for part in student_table())
    freedom = np.broadcast_to(freedom, rank.shape)
    row = np.clip(1 / freedom, 0, 0.5) * np.float32((len(inverse) - 1) / 0.5)
    column = np.clip(rank, ranks[0], ranks[-1])
    low = np.minimum(np.floor(row).astype(np.int64), len(inverse) - 2)
    left = np.clip(np.searchsorted(ranks, column) - 1, 0, len(ranks) - 2)
    share = (column - ranks[left]) / (ranks[left + 1] - ranks[left])
    first = table[low, left] + share * (table[low, left + 1] - table[low, left])
    second = table[low + 1, left] + share * (table[low + 1, left + 1] - table[low + 1, left])
    found: Array = first + (row - low).astype(np.float32) * (second - first)
    return found
