"""Which of the cells that every library has a program is: an LSTM, a GRU of either order, a plain network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

from unrolled.cell import ACTIVATIONS, Cell, Node, Program, correspondence, trace
from unrolled.cells import GRU, LSTM, Elman, GRUResetBefore, ProjectedLSTM


@dataclass(frozen=True)
class Kind:
    """A cell that other libraries have too.

    `name` is that of the tables in `unrolled.cell.layouts`; `gates` maps the gate names used there to the program's.
    """

    name: str
    gates: dict[str, str] = field(hash=False)
    activation: str = "tanh"
    projection: str | None = None


@lru_cache(maxsize=256)
def kind_of(program: Program) -> Kind | None:
    """What a program is in evaluation, whatever its gates and states are called; None where it is none of them."""
    plain = without_dropout(program)
    if plain.noise:
        return None
    for name, cell, activation in _patterns():
        pattern = trace(cell)
        found = correspondence(plain, pattern)
        if found is not None:
            gates = dict(zip(pattern.gates, found.gates, strict=True))
            return Kind(name, gates, activation, next(iter(plain.products), None))
    return None


def _patterns() -> list[tuple[str, Cell, str]]:
    gated: list[tuple[str, Cell]] = [("LSTM", LSTM()), ("LSTM", ProjectedLSTM()), ("GRU", GRU()),
                                     ("GRUResetBefore", GRUResetBefore())]  # fmt: skip
    return [(name, cell, "tanh") for name, cell in gated] + [("RNN", Elman(a), a) for a in ACTIVATIONS]


def without_dropout(program: Program) -> Program:
    """The program without the random factors whose mean is 1, which change nothing in evaluation."""
    gone = {name for name, noise in program.noise.items() if abs(noise.mean - 1) < 1e-9}
    if not gone:
        return program
    place: list[int] = []
    kept: list[Node] = []
    masks = {i for i, node in enumerate(program.nodes) if node.operation == "noise" and node.name in gone}
    for i, node in enumerate(program.nodes):
        others = [a for a in node.arguments if a not in masks]
        if i in masks or (node.operation == "mul" and len(others) == 1):
            place.append(place[others[0]] if others else -1)
            continue
        kept.append(Node(node.operation, tuple(place[a] for a in node.arguments), node.name, node.value))
        place.append(len(kept) - 1)
    return replace(
        program,
        nodes=tuple(kept),
        output=place[program.output],
        next=tuple(place[i] for i in program.next),
        noise={name: noise for name, noise in program.noise.items() if name not in gone},
        labels=tuple((place[i], label) for i, label in program.labels if place[i] >= 0),
    )
