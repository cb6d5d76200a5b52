"""What can be read off a program: widths of its values, who reads a value, which node is a gate's value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unrolled.cell.operations import OPERATIONS
from unrolled.cell.symbol import Node
from unrolled.errors import CellError

if TYPE_CHECKING:
    from unrolled.cell.program import Program


def node_widths(program: Program) -> tuple[str, ...]:
    """For each node its declared width, or that of what it combines."""
    widths: list[str] = []
    for node in program.nodes:
        if node.operation == "gate":
            width = "hidden"
        elif node.operation == "state":
            width = program.state[str(node.name)]
        elif node.operation == "parameter":
            width = program.vectors[str(node.name)].size
        elif node.operation == "noise":
            width = program.noise[str(node.name)].size
        elif node.operation == "product":
            width = program.products[str(node.name)][1] if node.name in program.products else "hidden"
        else:
            found = {widths[a] for a in node.arguments} - {"any"}
            if len(found) > 1 and program.projects:
                raise CellError(
                    f"{program.name} combines a hidden with an output value unit by unit; a product must lie between."
                )
            width = next(iter(sorted(found)), "any")
        widths.append(width)
    return tuple(widths)


def consumers(program: Program) -> list[list[int]]:
    """For each node, the nodes that read it."""
    found: list[list[int]] = [[] for _ in program.nodes]
    for i, node in enumerate(program.nodes):
        for argument in dict.fromkeys(node.arguments):
            found[argument].append(i)
    return found


def shares_its_sum(program: Program, gate: str) -> bool:
    """Whether every use of u.gate is inside a sum that also holds x.gate, so that one bias serves both."""
    used = consumers(program)

    def sums(i: int) -> list[int]:
        up = [c for c in used[i] if program.nodes[c].operation == "add"]
        return [i] if len(up) != len(used[i]) or not up else [top for c in up for top in sums(c)]

    def terms(i: int) -> list[int]:
        node = program.nodes[i]
        return [t for a in node.arguments for t in terms(a)] if node.operation == "add" else [i]

    product = program.recurrent[gate]
    return all(Node("gate", name=gate) in [program.nodes[t] for t in terms(top)] for top in sums(product))


def gate_value(program: Program, gate: str) -> int:
    """Climb from x.k through sums to the one function of it; where several read the sum, the sum is the value."""
    used = consumers(program)
    i = program.nodes.index(Node("gate", name=gate)) if Node("gate", name=gate) in program.nodes else -1
    while i >= 0 and len(used[i]) == 1:
        (above,) = used[i]
        node = program.nodes[above]
        if len(node.arguments) == 1 and node.operation in OPERATIONS and node.operation != "mean":
            return above
        if node.operation != "add":
            return i
        i = above
    return i
