"""What a forecast says of each coming value: a number, quantiles, or a distribution with its parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from unrolled.errors import ArgumentError
from unrolled.models.student import student_table

LEAST = 1e-4
_DRAWS = 400


class Head(ABC):
    """Turns `size` numbers for each coming value into a loss, quantiles, a centre and draws.

    Parameters are (..., size) with the network's location added to the first, or to all `located` of them; truth is
    (...), in the units of the window.
    """

    size: int
    located: int = 1
    counts: bool = False

    def at(self, scale: Tensor) -> Head:
        """The same for windows (B, 1) whose values were divided by `scale`; only counts need to know."""
        return self

    @abstractmethod
    def loss(self, parameters: Tensor, truth: Tensor) -> Tensor:
        """How wrong each value is, (...)."""

    @abstractmethod
    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        """The value that is not exceeded with each probability: (..., len(levels)), ascending."""

    @abstractmethod
    def centre(self, parameters: Tensor) -> Tensor:
        """The one number that stands for the forecast, (...)."""

    @abstractmethod
    def draw(self, parameters: Tensor, rank: Tensor) -> Tensor:
        """A value (...) for each uniform random number in `rank` (...)."""


class Point(Head):
    """One number, the mean: (y - m)^2 / 2."""

    size = 1

    def loss(self, parameters: Tensor, truth: Tensor) -> Tensor:
        return 0.5 * (truth - parameters[..., 0]) ** 2

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        return parameters.expand(*parameters.shape[:-1], len(levels))

    def centre(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def draw(self, parameters: Tensor, rank: Tensor) -> Tensor:
        return parameters[..., 0]


class Quantiles(Head):
    """Quantiles q_a at levels a: mean over a of max(a (y - q_a), (a - 1)(y - q_a)) (Koenker and Bassett 1978)."""

    def __init__(self, levels: Sequence[float]) -> None:
        if not levels or any(not 0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
            raise ArgumentError(
                f"quantiles={tuple(levels)} must ascend between 0 and 1, each once; give for example 0.1 0.5 0.9"
            )
        self.levels = tuple(levels)
        self.size = self.located = len(levels)

    def loss(self, parameters: Tensor, truth: Tensor) -> Tensor:
        levels = parameters.new_tensor(self.levels)
        error = truth[..., None] - parameters
        return torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        ranks = parameters.new_tensor(list(levels)).expand(*parameters.shape[:-1], len(levels))
        return _between(parameters.sort(-1).values, self.levels, ranks)

    def centre(self, parameters: Tensor) -> Tensor:
        return self.quantiles(parameters, (0.5,))[..., 0]

    def draw(self, parameters: Tensor, rank: Tensor) -> Tensor:
        return _between(parameters.sort(-1).values, self.levels, rank[..., None])[..., 0]


def _between(values: Tensor, levels: Sequence[float], ranks: Tensor) -> Tensor:
    """Values at `ranks` (..., R) on the line through the quantiles (..., L), going on straight beyond the outermost."""
    if len(levels) == 1:
        return values.expand(ranks.shape)
    known = values.new_tensor(list(levels))
    place = (torch.searchsorted(known, ranks.contiguous()) - 1).clamp(0, len(levels) - 2)
    low, high = values.gather(-1, place), values.gather(-1, place + 1)
    return low + (high - low) * (ranks - known[place]) / (known[place + 1] - known[place])


class Gaussian(Head):
    """Normal with mean m and deviation s: log s + (y - m)^2 / (2 s^2) + log(2 pi) / 2."""

    size = 2

    def loss(self, parameters: Tensor, truth: Tensor) -> Tensor:
        spread = _positive(parameters[..., 1])
        return spread.log() + 0.5 * ((truth - parameters[..., 0]) / spread) ** 2 + 0.5 * math.log(2 * math.pi)

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        standard: Tensor = torch.special.ndtri(parameters.new_tensor(list(levels)))
        return parameters[..., :1] + _positive(parameters[..., 1:]) * standard

    def centre(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def draw(self, parameters: Tensor, rank: Tensor) -> Tensor:
        standard: Tensor = torch.special.ndtri(rank)
        return parameters[..., 0] + _positive(parameters[..., 1]) * standard


class StudentT(Head):
    """Student's t with location, scale s and 2 + softplus degrees of freedom: heavy tails, so outliers pull less."""

    size = 3

    def loss(self, parameters: Tensor, truth: Tensor) -> Tensor:
        location, scale, freedom = self._split(parameters)
        size = ((truth - location) / scale) ** 2
        constant = torch.lgamma(0.5 * freedom) - torch.lgamma(0.5 * (freedom + 1)) + 0.5 * (math.pi * freedom).log()
        return constant + scale.log() + 0.5 * (freedom + 1) * torch.log1p(size / freedom)

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        location, scale, freedom = self._split(parameters)
        ranks = parameters.new_tensor(list(levels)).expand(*location.shape, len(levels))
        return location[..., None] + scale[..., None] * _student_quantile(freedom[..., None], ranks)

    def centre(self, parameters: Tensor) -> Tensor:
        return parameters[..., 0]

    def draw(self, parameters: Tensor, rank: Tensor) -> Tensor:
        location, scale, freedom = self._split(parameters)
        return location + scale * _student_quantile(freedom, rank)

    @staticmethod
    def _split(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return parameters[..., 0], _positive(parameters[..., 1]), 2.01 + functional.softplus(parameters[..., 2])


class NegativeBinomial(Head):
    """Counts 0, 1, 2, ... of mean m and variance m + a m^2; truth and mean in units of `scale` (see `at`)."""

    size = 2
    counts = True

    def __init__(self, scale: Tensor | None = None) -> None:
        self.scale = scale

    def at(self, scale: Tensor) -> Head:
        return NegativeBinomial(scale)

    def loss(self, parameters: Tensor, truth: Tensor) -> Tensor:
        mean, number = self._split(parameters)
        count = (truth * self._scale(truth)).round().clamp(min=0)
        return -(
            torch.lgamma(count + number)
            - torch.lgamma(number)
            - torch.lgamma(count + 1)
            + number * (number / (number + mean)).log()
            + count * (mean / (number + mean)).log()
        )

    def quantiles(self, parameters: Tensor, levels: Sequence[float]) -> Tensor:
        draws = self._draws(parameters)
        found = torch.quantile(draws, draws.new_tensor(list(levels)), dim=0, interpolation="nearest")
        return found.movedim(0, -1) / self._scale(parameters[..., 0])[..., None]

    def centre(self, parameters: Tensor) -> Tensor:
        return self._split(parameters)[0] / self._scale(parameters[..., 0])

    def draw(self, parameters: Tensor, rank: Tensor) -> Tensor:
        mean, number = self._split(parameters)
        seed = torch.Generator().manual_seed(int(rank.sum().double().abs().item() * 1e6) % 2**31)
        rate = torch._standard_gamma(number.double().cpu(), generator=seed) * (mean / number).double().cpu()
        return torch.poisson(rate, generator=seed).to(parameters) / self._scale(mean)

    def _draws(self, parameters: Tensor) -> Tensor:
        mean, number = self._split(parameters)
        seed = torch.Generator().manual_seed(0)
        shape = (_DRAWS, *mean.shape)
        rate = torch._standard_gamma(number.double().cpu().expand(shape).contiguous(), generator=seed)
        return torch.poisson(rate * (mean / number).double().cpu(), generator=seed).to(parameters)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean = _positive(parameters[..., 0])
        return mean * self._scale(mean), 1 / _positive(parameters[..., 1])

    def _scale(self, like: Tensor) -> Tensor:
        return torch.ones_like(like) if self.scale is None else self.scale.expand_as(like)


def _positive(x: Tensor) -> Tensor:
    return functional.softplus(x) + LEAST


def _student_quantile(freedom: Tensor, rank: Tensor) -> Tensor:
    """Quantile of Student's t by interpolation in 1 / freedom and rank, both within the table's range."""
    inverse, ranks, table = (torch.from_numpy(array).to(rank) for array in student_table())
    freedom = freedom.expand_as(rank)
    row = (1 / freedom).clamp(0, 0.5) * (len(inverse) - 1) / 0.5
    column = rank.clamp(ranks[0].item(), ranks[-1].item()).contiguous()
    low = row.floor().long().clamp(max=len(inverse) - 2)
    left = (torch.searchsorted(ranks, column) - 1).clamp(0, len(ranks) - 2)
    share = (column - ranks[left]) / (ranks[left + 1] - ranks[left])
    first = table[low, left] + share * (table[low, left + 1] - table[low, left])
    second = table[low + 1, left] + share * (table[low + 1, left + 1] - table[low + 1, left])
    return first + (row - low) * (second - first)


def head_of(kind: str, levels: Sequence[float]) -> Head:
    """The head that `--distribution` names; ArgumentError for an unknown name or bad levels."""
    if kind == "quantiles":
        return Quantiles(levels)
    heads: dict[str, type[Head]] = {
        "point": Point,
        "gaussian": Gaussian,
        "student-t": StudentT,
        "negative-binomial": NegativeBinomial,
    }
    if kind not in heads:
        raise ArgumentError(f"distribution={kind!r} is not known; choose quantiles, {', '.join(heads)}")
    return heads[kind]()
