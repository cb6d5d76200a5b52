"""Runs a cell's `update` once on symbols and keeps what it did as a program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from types import FrameType
from typing import Any

from unrolled.cell.interpret import ProgramCell
from unrolled.cell.program import Program
from unrolled.cell.protocol import Cell
from unrolled.cell.symbol import Builder, Node, Symbol
from unrolled.errors import CellError, UnrolledError


class Leaves:
    """`x`, `s` or `p` in an update: a value for each declared name."""

    def __init__(self, owner: str, letter: str, values: dict[str, Any]) -> None:
        self._owner, self._letter, self._values = owner, letter, values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._values:
            there = ", ".join(self._values) or "none"
            raise CellError(f"{self._owner}.update reads {self._letter}.{name}, but the cell declares {there}.")
        return self._values[name]


class Products:
    """`u` in an update: u.k multiplies the first state, u("k", operand) any other operand."""

    def __init__(self, owner: str, names: tuple[str, ...], first: Any, multiply: Callable[[str, Any], Any]) -> None:
        self._owner, self._names, self._first, self._multiply = owner, names, first, multiply

    def __call__(self, name: str, operand: Any) -> Any:
        if name not in self._names:
            raise CellError(
                f"{self._owner}.update multiplies by {name!r}, but the cell declares {', '.join(self._names)}."
            )
        return self._multiply(name, operand)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self(name, self._first)


@lru_cache(maxsize=256)
def trace(cell: Cell | Program) -> Program:
    """The program of a cell: its `update` run once on symbols.

    Raises CellError where the cell declares or computes what a program cannot hold.
    """
    if isinstance(cell, (Program, ProgramCell)):
        return cell if isinstance(cell, Program) else cell.program
    owner = type(cell).__name__
    _check_declaration(cell, owner)
    builder = Builder()

    def leaves(letter: str, operation: str, *groups: Any) -> Leaves:
        names = {name: builder.add(Node(kind, name=name)) for kind, group in groups for name in group}
        return Leaves(owner, letter, names)

    def multiply(name: str, operand: Any) -> Symbol:
        return builder.add(Node("product", (builder.wrap(operand, f"u({name!r}, ...)").index,), name))

    states = leaves("s", "state", ("state", cell.state))
    products = Products(owner, (*cell.gates, *cell.products), getattr(states, next(iter(cell.state))), multiply)
    gates = leaves("x", "gate", ("gate", cell.gates))
    extras = leaves("p", "parameter", ("parameter", cell.vectors), ("noise", cell.noise))
    returned, labels = _run(cell, gates, products, states, extras)
    if not (isinstance(returned, tuple) and len(returned) == 2 and hasattr(returned[1], "_asdict")):
        raise CellError(
            f"{owner}.update must return its output and self.next(...), such as `return h, self.next(h=h)`."
        )
    output = builder.wrap(returned[0], "the output").index
    following = tuple(builder.wrap(v, f"the next {k}").index for k, v in returned[1]._asdict().items())
    return _pruned(cell, builder.nodes, output, following, labels)


def _check_declaration(cell: Cell, owner: str) -> None:
    for name in ("gates", "state"):
        if not getattr(cell, name, None):
            raise CellError(f"{owner} declares no {name}; set `gates = ('h',)` and `state = state(h='output')`, say.")
    names = [*cell.gates, *cell.products]
    extras = [*cell.vectors, *cell.noise]
    for name in (*names, *cell.state, *extras):
        if not name.isidentifier() or name.startswith("_"):
            raise CellError(
                f"{owner} declares the name {name!r}; names of gates, states and vectors must be plain Python names."
            )
    if len(set(names)) != len(names) or len(set(extras)) != len(extras):
        raise CellError(f"{owner} declares a name twice among its gates and products or its vectors and noise.")
    try:
        hash(cell)
    except TypeError:
        raise CellError(
            f"{owner} has a field that cannot be hashed; make it a frozen dataclass of plain values."
        ) from None


def _run(cell: Cell, x: Leaves, u: Products, s: Leaves, p: Leaves) -> tuple[Any, dict[str, Symbol]]:
    """Run `update`; what it calls its values is kept for print, unless a profiler is using the hook that tells."""
    labels: dict[str, Symbol] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code is type(cell).update.__code__:
            labels.update({name: v for name, v in frame.f_locals.items() if isinstance(v, Symbol)})

    watch = sys.getprofile() is None
    if watch:
        sys.setprofile(profile)
    try:
        return cell.update(x, u, s, p), labels
    except UnrolledError:
        raise
    except Exception as error:  # the author's own code, or a library that it calls, may raise anything
        raise CellError(f"{type(cell).__name__}.update fails on symbols ({type(error).__name__}: {error}).") from error
    finally:
        if watch:
            sys.setprofile(None)


def _pruned(
    cell: Cell, nodes: list[Node], output: int, following: tuple[int, ...], labels: dict[str, Symbol]
) -> Program:
    """Keep what the results need, and every declared gate, vector and noise that the update uses."""
    needed: set[int] = set()
    open_ = [output, *following]
    while open_:
        i = open_.pop()
        if i not in needed:
            needed.add(i)
            open_.extend(nodes[i].arguments)
    order = sorted(needed)
    place = {old: new for new, old in enumerate(order)}
    kept = tuple(
        Node(n.operation, tuple(place[a] for a in n.arguments), n.name, n.value) for n in (nodes[i] for i in order)
    )
    return Program(
        gates=tuple(cell.gates),
        state=dict(cell.state),
        nodes=kept,
        output=place[output],
        next=tuple(place[i] for i in following),
        vectors=dict(cell.vectors),
        products=dict(cell.products),
        noise=dict(cell.noise),
        heads=cell.heads,
        bias=cell.bias,
        name=type(cell).__name__,
        labels=tuple((place[v.index], name) for name, v in labels.items() if v.index in place),
    )
