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
    ("adjoint", "output") and ("adjoint", state) are dL/d(output) and dL/d(next state). A node ("transposed", d_i, d_f, "i,f") is
    U_i^T d_i + U_f^T d_f (or P_k^T d_k). The dictionaries say which node is dL/d(x.k), dL/d(s.k), dL/d(p.k), and d = dL/d(U_k operand),
    the left factor of the weight gradient dL/dU_k, the sum over rows of d operand^T; what is missing has no gradient.
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
    builder = Builder(list(program.nodes))
    adjoints: dict[int, Symbol] = {}

    def add(index: int, value: Any) -> None:
        if value is not None and program.nodes[index].operation != "constant":
            symbol = builder.wrap(value)
            adjoints[index] = adjoints[index] + symbol if index in adjoints else symbol

    add(program.output, builder.add(Node("adjoint", name="output")))
    for name, index in zip(program.state, program.next, strict=True):
        add(index, builder.add(Node("adjoint", name=f"next.{name}")))
    waiting: dict[int, list[tuple[str, int]]] = {}

    def add_products(index: int) -> None:
        """One transposed product for all the gates that read this value; each further matrix on its own."""
        found = waiting.get(index, [])
        gates = [pair for name in program.gates for pair in found if pair[0] == name]
        for group in filter(None, (gates, *([pair] for pair in found if pair[0] in program.products))):
            names, parts = zip(*group, strict=True)
            add(index, builder.add(Node("transposed", parts, ",".join(names))))

    for index in reversed(range(len(program.nodes))):
        add_products(index)
        node, d = program.nodes[index], adjoints.get(index)
        if d is None:
            continue
        if node.operation == "product":
            waiting.setdefault(node.arguments[0], []).append((str(node.name), d.index))
        elif node.operation in OPERATIONS:
            arguments = [Symbol(builder, a) for a in node.arguments]
            parts = OPERATIONS[node.operation].gradient(d, Symbol(builder, index), *arguments)
            for argument, part in zip(node.arguments, parts, strict=True):
                add(argument, part)

    def collect(operation: str) -> dict[str, int]:
        leaves = ((str(n.name), i) for i, n in enumerate(program.nodes) if n.operation == operation)
        return {name: adjoints[i].index for name, i in leaves if i in adjoints}

    return Pullback(
        program, tuple(builder.nodes), collect("gate"), collect("state"), collect("parameter"), collect("product")
    )
