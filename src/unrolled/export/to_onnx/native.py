"""ONNX's own recurrent nodes: which of them a program is, with its gates, activations and peepholes.

What the nodes compute is written here as cells, because a cell is recognised by its equations and not by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, ClassVar

from unrolled.cell import ACTIVATIONS, Cell, Program, correspondence, state, trace, vector
from unrolled.cell.layouts import LAYOUTS

# Ours -> ONNX's name with the numbers that it takes, alpha and beta. Not softplus, which ONNX Runtime's nodes overflow.
_ACTIVATIONS: dict[str, tuple[str, tuple[float, ...], tuple[float, ...]]] = {
    "sigmoid": ("Sigmoid", (), ()),
    "tanh": ("Tanh", (), ()),
    "relu": ("Relu", (), ()),
    "softsign": ("Softsign", (), ()),
    "identity": ("Affine", (1.0,), (0.0,)),
    "elu": ("Elu", (1.0,), ()),
    "leaky_relu": ("LeakyRelu", (0.01,), ()),
    "hard_sigmoid": ("HardSigmoid", (1 / 6,), (0.5,)),
}


@dataclass(frozen=True)
class _Pattern(Cell):
    f: str = "sigmoid"
    g: str = "tanh"
    h: str = "tanh"

    def functions(self) -> tuple[Any, Any, Any]:
        return ACTIVATIONS[self.f], ACTIVATIONS[self.g], ACTIVATIONS[self.h]


class _RNN(_Pattern):
    gates = ("h",)
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        h = ACTIVATIONS[self.f](x.h + u.h)
        return h, self.next(h=h)


class _GRU(_Pattern):
    gates = ("z", "r", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f, g, _ = self.functions()
        z, r = f(x.z + u.z), f(x.r + u.r)
        h = self.mixed(z, g(x.n + self.reset(r, u, s)), s)
        return h, self.next(h=h)

    def reset(self, r: Any, u: Any, s: Any) -> Any:
        return r * u.n

    def mixed(self, z: Any, n: Any, s: Any) -> Any:
        return (1 - z) * n + z * s.h


class _GRUDifference(_GRU):
    """The same in the form that torch's kernels compute."""

    def mixed(self, z: Any, n: Any, s: Any) -> Any:
        return n + z * (s.h - n)


class _GRUBefore(_GRU):
    def reset(self, r: Any, u: Any, s: Any) -> Any:
        return u("n", r * s.h)


class _LSTM(_Pattern):
    gates: ClassVar[tuple[str, ...]] = ("i", "o", "f", "g")
    state = state(h="output", c="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f, g, h = self.functions()
        c = f(x.f + u.f) * s.c + f(x.i + u.i) * g(x.g + u.g)
        y = f(x.o + u.o) * h(c)
        return y, self.next(h=y, c=c)


class _Peephole(_LSTM):
    vectors = {"i": vector(), "o": vector(), "f": vector()}

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f, g, h = self.functions()
        c = f(x.f + u.f + p.f * s.c) * s.c + f(x.i + u.i + p.i * s.c) * g(x.g + u.g)
        y = f(x.o + u.o + p.o * c) * h(c)
        return y, self.next(h=y, c=c)


class _Coupled(_LSTM):
    """`input_forget`: the forget gate is 1 - i."""

    gates = ("i", "o", "g")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f, g, h = self.functions()
        i = f(x.i + u.i)
        c = (1 - i) * s.c + i * g(x.g + u.g)
        y = f(x.o + u.o) * h(c)
        return y, self.next(h=y, c=c)


class _CoupledToForget(_LSTM):
    """The input gate is 1 - f, which is a sigmoid too: that of the forget gate's sum with its sign turned."""

    gates = ("i", "o", "g")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        f, g, h = self.functions()
        kept = f(x.i + u.i)
        c = kept * s.c + (1 - kept) * g(x.g + u.g)
        y = f(x.o + u.o) * h(c)
        return y, self.next(h=y, c=c)


@dataclass(frozen=True)
class Native:
    """A program as one of ONNX's nodes.

    `gates` names for each gate of the node the program's, None where the node has it and does not use it; the weights
    of those in `turned` change their sign. `state` and `peepholes` are the program's names in the node's order.
    """

    kind: str
    gates: tuple[str | None, ...]
    state: tuple[str, ...]
    peepholes: tuple[str, ...] = ()
    turned: frozenset[str] = frozenset()
    attributes: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def title(self) -> str:
        """The node's name with what is unusual about it."""
        unusual = [name for name in ("input_forget", "linear_before_reset") if name in self.attributes]
        return ", ".join([self.kind, *unusual, *(["peepholes"] if self.peepholes else [])])


_KINDS: tuple[tuple[str, type[_Pattern], int, dict[str, Any]], ...] = (
    ("RNN", _RNN, 1, {}),
    ("GRU", _GRU, 2, {"linear_before_reset": 1}),
    ("GRU", _GRUDifference, 2, {"linear_before_reset": 1}),
    ("GRU", _GRUBefore, 2, {}),
    ("LSTM", _LSTM, 3, {}),
    ("LSTM", _Peephole, 3, {}),
    ("LSTM", _Coupled, 3, {"input_forget": 1}),
    ("LSTM", _CoupledToForget, 3, {"input_forget": 1}),
)


@lru_cache(maxsize=256)
def native(program: Program) -> Native | None:
    """The node that computes this program in evaluation, or None where it takes a Scan."""
    if program.noise or program.projects or program.heads > 1:
        return None
    for kind, pattern, count, attributes in _KINDS:
        for names in _candidates(program, count):
            found = correspondence(program, trace(pattern(*names)))
            # 1 - f(a) is f(-a) for a sigmoid alone.
            if found is not None and (pattern is not _CoupledToForget or names[0] == "sigmoid"):
                chosen = dict(zip(pattern.gates, found.gates, strict=True))
                return Native(
                    kind,
                    tuple(chosen.get(gate) for gate in LAYOUTS["onnx", kind].gates),
                    found.state,
                    found.vectors,
                    frozenset({chosen["i"]}) if pattern is _CoupledToForget else frozenset(),
                    {**attributes, **_activation_attributes(names)},
                )
    return None


def _candidates(program: Program, count: int) -> Iterator[tuple[str, ...]]:
    """Activations that the program may have: those all of whose operations occur in it."""
    there = {node.operation for node in program.nodes}
    fitting = [name for name in _ACTIVATIONS if _operations(name) <= there]
    return product(fitting, repeat=count)


@lru_cache(maxsize=32)
def _operations(activation: str) -> frozenset[str]:
    leaves = {"gate", "state", "product", "constant"}
    return frozenset(n.operation for n in trace(_RNN(activation)).nodes if n.operation not in leaves)


def _activation_attributes(names: tuple[str, ...]) -> dict[str, Any]:
    rows = [_ACTIVATIONS[name] for name in names]
    found: dict[str, Any] = {"activations": [kind for kind, _, _ in rows]}
    alphas, betas = [a for _, more, _ in rows for a in more], [b for _, _, more in rows for b in more]
    return found | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})
