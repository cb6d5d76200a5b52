"""Runs a program on whatever kind of value its operands are: tensors, arrays, symbols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.cell.functions import apply
from unrolled.cell.operations import OPERATIONS
from unrolled.cell.program import Program
from unrolled.cell.protocol import Cell


@dataclass(frozen=True)
class ProgramCell(Cell):
    """A program as a cell again: loaded from a run or changed by a transformation."""

    program: Program

    def __post_init__(self) -> None:
        for name in ("gates", "state", "vectors", "products", "noise", "bias", "heads"):
            object.__setattr__(self, name, getattr(self.program, name))

    def update(self, x: Any, u: Any, s: Any, p: Any) -> tuple[Any, Any]:
        """One step of the program."""
        values = run(self.program, x, u, s, p)
        return values[self.program.output], self.program.state_type(*(values[i] for i in self.program.next))


def run(program: Program, x: Any, u: Any, s: Any, p: Any) -> list[Any]:
    """The value of every node of a program, computed with whatever kind of value the operands are."""
    values: list[Any] = []
    for node in program.nodes:
        if node.operation == "constant":
            values.append(node.value)
        elif node.operation == "product":
            values.append(u(node.name, values[node.arguments[0]]))
        elif node.operation in OPERATIONS:
            values.append(apply(node.operation, *(values[a] for a in node.arguments)))
        else:
            values.append(getattr({"gate": x, "state": s}.get(node.operation, p), str(node.name)))
    return values
