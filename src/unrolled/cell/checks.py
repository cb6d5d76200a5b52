"""Refuses a program that cannot run, whether it was traced, transformed or loaded from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unrolled.cell.operations import OPERATIONS
from unrolled.cell.protocol import WIDTHS, Sizes
from unrolled.cell.symbol import Node
from unrolled.errors import CellError

if TYPE_CHECKING:
    from unrolled.cell.program import Program


def check_sizes(program: Program, sizes: Sizes) -> None:
    """CellError where a program cannot have these sizes."""
    if sizes.hidden != sizes.output and not program.projects:
        raise CellError(
            f"{program.name} was given {sizes.hidden} hidden units and {sizes.output} outputs, but it has no product "
            "from one to the other; give both the same size or use a cell with projection."
        )
    operand = sizes.of(program.operand_width)
    if sizes.hidden % program.heads or operand % program.heads:
        raise CellError(
            f"{program.name} has {program.heads} heads, which must divide its {sizes.hidden} hidden units "
            f"and {operand} recurrent inputs; choose sizes that are multiples of the heads."
        )


def check(program: Program) -> None:
    """CellError unless every node is in the table, reads earlier nodes only and names what is declared."""
    if not isinstance(program.name, str):
        raise CellError("the name of a cell must be a text.")
    if not all(_whole(n) for n in (program.heads, program.output, *program.next)) or program.heads < 1:
        raise CellError(
            f"the heads, output and next of {program.name} must be whole numbers, and there is at least 1 head."
        )
    if not all(isinstance(name, str) for name in (*program.gates, *program.state)):
        raise CellError("the names of the gates and states of a cell must be texts.")
    if not program.gates or not program.state or len(program.next) != len(program.state):
        raise CellError(f"{program.name} needs at least one gate, one state and a next value for every state.")
    _check_declared_widths(program)
    for i, node in enumerate(program.nodes):
        _check_node(program, i, node)
    if any(not 0 <= i < len(program.nodes) for i in (program.output, *program.next)):
        raise CellError(f"{program.name} returns a value that it does not compute.")
    if not all(_whole(i) and 0 <= i < len(program.nodes) and isinstance(label, str) for i, label in program.labels):
        raise CellError(f"a label of {program.name} names a value that it does not compute.")
    _check_products(program)
    _check_next_widths(program)


def _whole(value: object) -> bool:
    """Values may come from a file, so their types are not to be believed."""
    return isinstance(value, int) and not isinstance(value, bool)


def _check_types(program: Program, i: int, node: Any) -> None:
    """Before any value is used as a key or shown."""
    number = node.operation == "constant" or node.value is None
    if not isinstance(node.operation, str) or not isinstance(node.name, (str, type(None))) or not number:
        raise CellError(f"node {i} of {program.name} is damaged; an operation and its name are texts.")


def _check_node(program: Program, i: int, node: Node) -> None:
    _check_types(program, i, node)
    declared = {
        "gate": program.gates,
        "state": program.state,
        "parameter": program.vectors,
        "noise": program.noise,
        "product": (*program.products, *program.gates),
    }
    if any(not _whole(a) or not 0 <= a < i for a in node.arguments):
        raise CellError(f"node {i} of {program.name} reads a value that is not computed before it.")
    if node.operation == "constant":
        if not isinstance(node.value, (int, float)) or node.arguments:
            raise CellError(f"node {i} of {program.name} is a constant without a number.")
    elif node.operation in declared:
        if node.name not in declared[node.operation] or len(node.arguments) != (node.operation == "product"):
            raise CellError(
                f"node {i} of {program.name} reads the {node.operation} {node.name!r}, which is not declared."
            )
    elif node.operation not in OPERATIONS or len(node.arguments) != OPERATIONS[node.operation].arity:
        raise CellError(f"node {i} of {program.name} is {node.operation!r}, which is not in the operation table.")


def _check_declared_widths(program: Program) -> None:
    ends = [end for pair in program.products.values() for end in pair]
    vectors, noise = [v.size for v in program.vectors.values()], [n.size for n in program.noise.values()]
    for size in (*program.state.values(), *ends, *vectors, *noise):
        if size not in WIDTHS:
            raise CellError(f"{program.name} declares the size {size!r}, but it must be 'hidden' or 'output'.")


def _check_products(program: Program) -> None:
    seen: dict[str | None, int] = {}
    for node in program.nodes:
        if node.operation == "product" and seen.setdefault(node.name, node.arguments[0]) != node.arguments[0]:
            raise CellError(
                f"the matrix of {node.name!r} multiplies two different values in one step of {program.name}; "
                "declare a further matrix in `products`."
            )
    if len({program.widths[program.nodes[i].arguments[0]] for i in program.recurrent.values()}) > 1:
        raise CellError(
            f"the recurrent products of {program.name} read values of different widths; use `products` for one."
        )


def _check_next_widths(program: Program) -> None:
    for width, i in zip(program.state.values(), program.next, strict=True):
        if program.projects and program.widths[i] not in (width, "any"):
            raise CellError(
                f"a state of {program.name} is {width} wide, but its next value is {program.widths[i]} wide."
            )
