"""The derivative of a step, taken symbolically: another program of the same kind, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from unrolled.cell.operations import OPERATIONS
from unrolled.cell.program import Program
from unrolled.cell.symbol import Builder, Node, Symbol


@dataclass(frozen=True)
class Pullback:
    """Vector-Jacobian product of one step (reverse-mode differentiation).

    `nodes` begins with the nodes of the program itself and goes on with those of the derivative. Leaves named
    ("adjoint", "output") and ("adjoint", state) are dL/d(output) and dL/d(next state). ("transposed", d_i, d_f, "i,f")
    is U_i^T d_i + U_f^T d_f (or P_k^T d_k). The dictionaries say which node is dL/d(x.k), dL/d(s.k), dL/d(p.k), and
    d = dL/d(U_k operand), the left factor of the weight gradient dL/dU_k, the sum over rows of d operand^T. What is
    missing has no gradient.
    """

    program: Program
    nodes: tuple[Node, ...]
    gates: dict[str, int]
    state: dict[str, int]
    parameters: dict[str, int]
    products: dict[str, int]


@lru_cache(maxsize=256)
def pullback(program: Program) -> Pullback:
    """The program that turns dL/d(output, next state) into dL/d(gates, state, vectors, products)."""
    sweep = _Sweep(program)
    sweep.run()
    found = {kind: sweep.collect(kind) for kind in ("gate", "state", "parameter", "product")}
    nodes = tuple(sweep.builder.nodes)
    return Pullback(program, nodes, found["gate"], found["state"], found["parameter"], found["product"])


class _Sweep:
    """Goes through the nodes from the last to the first and adds up what each receives."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.builder = Builder(list(program.nodes))
        self.adjoints: dict[int, Symbol] = {}
        self.waiting: dict[int, list[tuple[str, int]]] = {}

    def run(self) -> None:
        program = self.program
        self.add(program.output, self.builder.add(Node("adjoint", name="output")))
        for name, index in zip(program.state, program.next, strict=True):
            self.add(index, self.builder.add(Node("adjoint", name=f"next.{name}")))
        for index in reversed(range(len(program.nodes))):
            self.add_products(index)
            if index in self.adjoints:
                self.differentiate(index, self.adjoints[index])

    def add(self, index: int, value: Any) -> None:
        """Another part of the adjoint of a node; constants and comparisons have none."""
        if value is not None and self.program.nodes[index].operation != "constant":
            symbol = self.builder.wrap(value)
            self.adjoints[index] = self.adjoints[index] + symbol if index in self.adjoints else symbol

    def add_products(self, index: int) -> None:
        """One transposed product for all the gates that read this value; each further matrix on its own."""
        found = self.waiting.get(index, [])
        gates = [pair for name in self.program.gates for pair in found if pair[0] == name]
        for group in filter(None, (gates, *([pair] for pair in found if pair[0] in self.program.products))):
            names, parts = zip(*group, strict=True)
            self.add(index, self.builder.add(Node("transposed", parts, ",".join(names))))

    def differentiate(self, index: int, d: Symbol) -> None:
        """Hand the adjoint of a node on to its arguments."""
        node = self.program.nodes[index]
        if node.operation == "product":
            self.waiting.setdefault(node.arguments[0], []).append((str(node.name), d.index))
        elif node.operation in OPERATIONS:
            arguments = [Symbol(self.builder, a) for a in node.arguments]
            parts = OPERATIONS[node.operation].gradient(d, Symbol(self.builder, index), *arguments)
            for argument, part in zip(node.arguments, parts, strict=True):
                self.add(argument, part)

    def collect(self, operation: str) -> dict[str, int]:
        """Adjoints of all nodes of one kind, by name."""
        leaves = ((str(n.name), i) for i, n in enumerate(self.program.nodes) if n.operation == operation)
        return {name: self.adjoints[i].index for name, i in leaves if i in self.adjoints}
