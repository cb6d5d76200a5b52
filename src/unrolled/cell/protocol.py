"""What a cell declares: gates, states, vectors, products, noise, and one `update`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from unrolled.errors import ArgumentError, CellError

Width = Literal["hidden", "output"]
WIDTHS: tuple[str, ...] = ("hidden", "output")


@dataclass(frozen=True)
class Sizes:
    """Widths of one layer: F of its input, H of its hidden units, O of its output (H unless the cell projects)."""

    input: int
    hidden: int
    output: int

    def __post_init__(self) -> None:
        if self.input < 0 or self.hidden < 1 or self.output < 1:
            raise ArgumentError(
                f"sizes {self.input}, {self.hidden}, {self.output} were given; hidden and output need at least 1."
            )

    def of(self, width: str) -> int:
        return self.hidden if width == "hidden" else self.output


@dataclass(frozen=True)
class Vector:
    """A parameter per unit: peephole, gain, offset, learned slope; `start` is its initial value."""

    start: float = 0.0
    size: Width = "hidden"


@dataclass(frozen=True)
class Noise:
    """A random factor: `scale` with probability `keep`, else 0; drawn anew each step or once for a sequence.

    In evaluation it is its mean, scale * keep.
    """

    frequency: Literal["step", "sequence"]
    keep: float
    scale: float = 1.0
    size: Width = "hidden"

    @property
    def mean(self) -> float:
        return self.scale * self.keep


def state(**sizes: Width) -> dict[str, Width]:
    """What a step hands to the next, such as `h="output", c="hidden"`; the first is what `u.k` multiplies."""
    for name, size in sizes.items():
        if size not in WIDTHS:
            raise CellError(f"state {name} has the size {size!r}, but it must be 'output' or 'hidden'.")
    return sizes


def vector(start: float = 0.0, size: Width = "hidden") -> Vector:
    """A parameter per unit that starts at `start`; in update it is `p.name`."""
    return Vector(start, size)


@cache
def state_type(names: tuple[str, ...]) -> type[Any]:
    """The named tuple of a state; the same names give the same class."""
    return namedtuple("State", names)


class Cell(ABC):
    """One time step as equations; a frozen dataclass whose fields are hyper-parameters. It holds no weights.

    Declare `gates` (each k has W_k (H, F) and b_k (H): `x.k = W_k x_t + b_k`), `state` (the first is what
    `u.k = U_k h_{t-1}` multiplies), and where needed `vectors` (`p.name`), `products` (`u("name", operand)`;
    {"p": ("hidden", "output")} maps H units to O) and `noise` (`p.name`). `u("k", operand)` multiplies another operand
    by U_k. Write `update` and nothing else.
    """

    gates: ClassVar[tuple[str, ...]]
    state: ClassVar[Mapping[str, Width]]
    vectors: ClassVar[Mapping[str, Vector]] = {}
    products: ClassVar[Mapping[str, tuple[Width, Width]]] = {}
    noise: ClassVar[Mapping[str, Noise]] = {}
    bias: ClassVar[bool] = True
    heads: int = 1

    @abstractmethod
    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        """One step: gates x, recurrent products u, states s, vectors and noise p -> (output, next state)."""

    def next(self, **values: Any) -> Any:
        """The next state, by name; CellError where one is missing or unknown."""
        names = tuple(self.state)
        if set(values) != set(names):
            raise CellError(
                f"{type(self).__name__}.update returns the states {', '.join(values) or 'none'}, "
                f"but the cell declares {', '.join(names)}; name each exactly once in self.next(...)."
            )
        return state_type(names)(**values)
