"""ONNX's own recurrent nodes: which of them a program is, with its gates, activations and peepholes.

What the nodes compute is written here as cells, because a cell is recognised by its equations and not by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from typing import Any

from unrolled.cell import Cell, Program, correspondence, state, trace
from unrolled.cell.layouts import LAYOUTS
from unrolled.export.weights.activated import ActivatedGRU, ActivatedLSTM, ActivatedRNN, Activation

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
class _GRUDifference(Cell):
    """The form in which torch's kernels compute a GRU."""

    f: Activation
    g: Activation
    gates = ("z", "r", "n")
    state = state(h="output")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        z, r = self.f(x.z + u.z), self.f(x.r + u.r)
        n = self.g(x.n + r * u.n)
        h = n + z * (s.h - n)
        return h, self.next(h=h)


@dataclass(frozen=True)
class _CoupledToForget(Cell):
    """The input gate is 1 - f, which is a sigmoid too: that of the forget gate's sum with its sign turned."""

    f: Activation
    g: Activation
    h: Activation
    gates = ("i", "o", "g")
    state = state(h="output", c="hidden")

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        kept = self.f(x.i + u.i)
        c = kept * s.c + (1 - kept) * self.g(x.g + u.g)
        y = self.f(x.o + u.o) * self.h(c)
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


# The node, how many activations it has, the cell of these, the node's attributes.
_KINDS: tuple[tuple[str, int, Callable[..., Cell], dict[str, Any]], ...] = (
    ("RNN", 1, ActivatedRNN, {}),
    ("GRU", 2, ActivatedGRU, {"linear_before_reset": 1}),
    ("GRU", 2, _GRUDifference, {"linear_before_reset": 1}),
    ("GRU", 2, partial(ActivatedGRU, reset_after=False), {}),
    ("LSTM", 3, ActivatedLSTM, {}),
    ("LSTM", 3, partial(ActivatedLSTM, peepholes=True), {}),
    ("LSTM", 3, partial(ActivatedLSTM, coupled=True), {"input_forget": 1}),
    ("LSTM", 3, _CoupledToForget, {"input_forget": 1}),
)


@lru_cache(maxsize=256)
def native(program: Program) -> Native | None:
    """The node that computes this program in evaluation, or None where it takes a Scan."""
    if program.noise or program.projects or program.heads > 1:
        return None
    for kind, count, cell, attributes in _KINDS:
        for names in _candidates(program, count):
            pattern = trace(cell(*map(Activation, names)))
            found = correspondence(program, pattern)
            # 1 - f(a) is f(-a) for a sigmoid alone.
            if found is not None and (cell is not _CoupledToForget or names[0] == "sigmoid"):
                layout = LAYOUTS["onnx", kind]
                gates = dict(zip(pattern.gates, found.gates, strict=True))
                peepholes = dict(zip(pattern.vectors, found.vectors, strict=True))
                return Native(
                    kind,
                    tuple(gates.get(gate) for gate in layout.gates),
                    found.state,
                    tuple(peepholes[f"peep_{gate}"] for gate in layout.peepholes if peepholes),
                    frozenset({gates["i"]}) if cell is _CoupledToForget else frozenset(),
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
    return frozenset(
        n.operation for n in trace(ActivatedRNN(Activation(activation))).nodes if n.operation not in leaves
    )


def _activation_attributes(names: tuple[str, ...]) -> dict[str, Any]:
    rows = [_ACTIVATIONS[name] for name in names]
    found: dict[str, Any] = {"activations": [kind for kind, _, _ in rows]}
    alphas, betas = [a for _, more, _ in rows for a in more], [b for _, _, more in rows for b in more]
    return found | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})
